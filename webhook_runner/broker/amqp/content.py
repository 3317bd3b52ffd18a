"""The content header of a message: its size and properties, as usual ones are read at once."""

import struct
from collections.abc import Mapping

from pamqp.commands import Basic
from pamqp.header import ContentHeader

from webhook_runner.broker.amqp.blanking import legible

PERSISTENT = 2

Properties = tuple[Mapping[str, object], str, str, str, str, float | None, bool, bool]
"""Of an `Arrival`, from its headers on."""
NOTHING_SAID: Properties = ({}, "", "", "", "", None, False, False)

_FIXED = struct.Struct(">HHQH").unpack_from
_FIXED_SIZE = 14
_LENGTH = struct.Struct(">I").unpack_from
_STAMP = struct.Struct(">Q").unpack_from
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE = 0x8000, 0x4000, 0x2000, 0x1000
_CORRELATION_ID, _MESSAGE_ID, _TIMESTAMP = 0x0400, 0x0080, 0x0040
_SELDOM = 0xFFFF & ~(
    _CONTENT_TYPE
    | _CONTENT_ENCODING
    | _HEADERS
    | _DELIVERY_MODE
    | _CORRELATION_ID
    | _MESSAGE_ID
    | _TIMESTAMP
)
_TEXT = ord("S")
# By their letters in a table, as pamqp reads them.
_SCALARS = {
    ord(letter): (struct.Struct(f">{form}").unpack_from, 1 + struct.calcsize(form))
    for letter, form in zip("tbBsuIilLfd", "?bBhHiIqqfd", strict=True)
}
# The codec takes what is above for milliseconds.
_LATEST = 0xFFFFFFFF


class _SeldomError(Exception):
    """Something that only the codec knows how to read."""


_FOR_THE_CODEC = (_SeldomError, ValueError, LookupError, struct.error)


def read_content(payload: bytes) -> tuple[int, Properties]:
    """Return the size of the body that follows, and the properties as far as they are legible.

    Raises:
        struct.error: it is shorter than any content header.

    """
    try:
        return _read_usual(payload)
    except _FOR_THE_CODEC:
        return _read_any(payload)


def _read_usual(payload: bytes) -> tuple[int, Properties]:
    _, _, size, flags = _FIXED(payload)
    if flags & _SELDOM:
        raise _SeldomError
    at = _FIXED_SIZE
    content_type = encoding = ""
    headers: Mapping[str, object] = {}
    mode = 0
    if flags & _CONTENT_TYPE:
        start, at = at + 1, at + 1 + payload[at]
        content_type = payload[start:at].decode()
    if flags & _CONTENT_ENCODING:
        start, at = at + 1, at + 1 + payload[at]
        encoding = payload[start:at].decode()
    if flags & _HEADERS:
        start, at = at + 4, at + 4 + _LENGTH(payload, at)[0]
        headers = _table(payload, start, at)
    if flags & _DELIVERY_MODE:
        mode = payload[at]
        at += 1
    correlation_id, message_id, stamp = _names(payload, at, flags)
    persistent = mode == PERSISTENT
    return size, (
        headers,
        content_type,
        encoding,
        correlation_id,
        message_id,
        stamp,
        persistent,
        False,
    )


def _names(payload: bytes, at: int, flags: int) -> tuple[str, str, float | None]:
    correlation_id = message_id = ""
    stamp = None
    if flags & _CORRELATION_ID:
        start, at = at + 1, at + 1 + payload[at]
        correlation_id = payload[start:at].decode()
    if flags & _MESSAGE_ID:
        start, at = at + 1, at + 1 + payload[at]
        message_id = payload[start:at].decode()
    if flags & _TIMESTAMP:
        (found,) = _STAMP(payload, at)
        if found > _LATEST:
            raise _SeldomError
        stamp = float(found) or None
    return correlation_id, message_id, stamp


def _table(payload: bytes, at: int, end: int) -> dict[str, object]:
    """Read a table whose values are texts, numbers and truths."""
    table: dict[str, object] = {}
    while at < end:
        start, at = at + 1, at + 1 + payload[at]
        name = payload[start:at].decode()
        kind = payload[at]
        if kind == _TEXT:
            start, at = at + 5, at + 5 + _LENGTH(payload, at + 1)[0]
            table[name] = payload[start:at].decode()
        elif kind in _SCALARS:
            unpack, size = _SCALARS[kind]
            (table[name],) = unpack(payload, at + 1)
            at += size
        else:
            raise _SeldomError
    return table


def _read_any(payload: bytes) -> tuple[int, Properties]:
    header = ContentHeader()
    header.unmarshal(legible(payload))
    return header.body_size, properties_of(header.properties)


def properties_of(found: Basic.Properties) -> Properties:
    return (
        found.headers or {},
        found.content_type or "",
        found.content_encoding or "",
        found.correlation_id or "",
        found.message_id or "",
        (found.timestamp.timestamp() if found.timestamp else 0) or None,
        found.delivery_mode == PERSISTENT,
        bool(found.expiration),
    )
