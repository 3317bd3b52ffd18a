"""Properties of messages that the codec cannot read are blanked out before it sees them."""

import struct

from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

_FIXED = 12  # class, weight and body size, before the property flags
# AMQP 0-9-1 §4.2.6.1: bit 15 is the content type, and so on down to the cluster id.
_TEXTS = frozenset({15, 14, 10, 9, 8, 7})
_TABLE = 13
_OCTETS = frozenset({12, 11})
_TIME = 6
# What pamqp raises at nonsense; tables within tables without end are among it.
UNREADABLE = (
    PAMQPException,
    ValueError,
    ArithmeticError,
    OSError,
    LookupError,
    RecursionError,
    struct.error,
)


def legible(payload: bytes) -> bytes:
    """Return the payload of a content header, as much of it as can be read.

    A publisher's absurd timestamp or a broken string would end the connection, whereupon the
    broker would deliver the same message again, for ever. Of a timestamp only itself is lost.
    """
    for candidate in (payload, _timeless(payload)):
        try:
            ContentHeader().unmarshal(candidate)
        except UNREADABLE:
            continue
        return candidate
    return payload[:_FIXED] + bytes(max(2, len(payload) - _FIXED))


def _timeless(payload: bytes) -> bytes:
    """Return the payload with a timestamp, if it has one, of 0."""
    flags = int.from_bytes(payload[_FIXED : _FIXED + 2])
    at = _FIXED + 2
    for bit in range(15, _TIME, -1):
        if not flags >> bit & 1:
            continue
        if bit in _OCTETS:
            at += 1
        elif bit in _TEXTS:
            at += 1 + int.from_bytes(payload[at : at + 1])
        elif bit == _TABLE:
            at += 4 + int.from_bytes(payload[at : at + 4])
    if not flags >> _TIME & 1:
        return payload
    return payload[:at] + bytes(8) + payload[at + 8 :]
