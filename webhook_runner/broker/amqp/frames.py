"""The AMQP frames that are sent by the thousand, packed by hand: publish, ack, give back."""

import struct
from collections.abc import Mapping
from functools import lru_cache

from webhook_runner.broker.amqp.channel import Outgoing

_METHOD, _HEADER, _BODY = 1, 2, 3
_END = b"\xce"
_BASIC, _PUBLISH, _ACK, _NACK = 60, 40, 80, 120
_MANDATORY, _REQUEUE = 1, 2
_FRAME = struct.Struct(">BHI")
_SETTLE = struct.Struct(">BHIHHQBB")
_SETTLE_SIZE = 13
_CONTENT = struct.Struct(">HHQH")
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE = 0x8000, 0x4000, 0x2000, 0x1000
_CORRELATION_ID, _MESSAGE_ID, _TIMESTAMP = 0x0400, 0x0080, 0x0040
_PERSISTENT = b"\x02"
_LENGTH = struct.Struct(">I")
_TEXT = struct.Struct(">cI")
_LONG = struct.Struct(">cq")
_DOUBLE = struct.Struct(">cd")
_STAMP = struct.Struct(">Q")
_SHORT_LIMIT = 255


def ack(channel: int, tag: int, *, before: bool = False) -> bytes:
    return _SETTLE.pack(_METHOD, channel, _SETTLE_SIZE, _BASIC, _ACK, tag, before, 0xCE)


def give_back(channel: int, tag: int) -> bytes:
    return _SETTLE.pack(_METHOD, channel, _SETTLE_SIZE, _BASIC, _NACK, tag, _REQUEUE, 0xCE)


@lru_cache(maxsize=4096)
def publish(channel: int, exchange: str, key: str) -> bytes:
    """Pack a mandatory Basic.Publish."""
    payload = (
        struct.pack(">HHH", _BASIC, _PUBLISH, 0)
        + _short(exchange)
        + _short(key)
        + bytes((_MANDATORY,))
    )
    return _frame(_METHOD, channel, payload)


def message(channel: int, out: Outgoing, message_id: str, largest: int) -> bytes:
    """Pack all of a publish; ``largest`` is how many bytes of a body go into one frame."""
    return publish(channel, out.exchange, out.key) + content(
        channel,
        out.body,
        out.headers,
        message_id=message_id,
        content_type=out.content_type,
        content_encoding=out.content_encoding,
        correlation_id=out.correlation_id,
        timestamp=out.timestamp,
        largest=largest,
    )


def content(
    channel: int,
    body: bytes,
    headers: Mapping[str, object],
    *,
    message_id: str,
    content_type: str = "",
    content_encoding: str = "",
    correlation_id: str = "",
    timestamp: float | None = None,
    largest: int,
) -> bytes:
    """Pack the properties of a persistent message and its body, ``largest`` bytes to a frame."""
    flags = _HEADERS | _DELIVERY_MODE | _MESSAGE_ID
    parts = [b""]
    if content_type:
        flags |= _CONTENT_TYPE
        parts.append(_short(content_type))
    if content_encoding:
        flags |= _CONTENT_ENCODING
        parts.append(_short(content_encoding))
    parts += (_table(headers), _PERSISTENT)
    if correlation_id:
        flags |= _CORRELATION_ID
        parts.append(_short(correlation_id))
    parts.append(_short(message_id))
    if timestamp is not None and timestamp >= 0:
        flags |= _TIMESTAMP
        parts.append(_STAMP.pack(int(timestamp)))
    parts[0] = _CONTENT.pack(_BASIC, 0, len(body), flags)
    frames = [_frame(_HEADER, channel, b"".join(parts))]
    frames += (
        _frame(_BODY, channel, body[start : start + largest])
        for start in range(0, len(body), largest)
    )
    return b"".join(frames)


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, channel, len(payload)) + payload + _END


def _short(text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    if len(raw) > _SHORT_LIMIT:
        raw = raw[:_SHORT_LIMIT].decode("utf-8", "ignore").encode()
    return bytes((len(raw),)) + raw


def _table(headers: Mapping[str, object]) -> bytes:
    packed = b"".join(_name(name) + _value(value) for name, value in headers.items())
    return _LENGTH.pack(len(packed)) + packed


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    return _short(name)


def _value(value: object) -> bytes:
    match value:
        case str():
            return _text(value)
        case bool():
            return b"t\x01" if value else b"t\x00"
        case int():
            # Beyond 64 bits only a publisher's own header can be: as text it survives.
            return _LONG.pack(b"l", value) if -(2**63) <= value < 2**63 else _value(str(value))
        case float():
            return _DOUBLE.pack(b"d", value)
        case _:
            return _text(str(value))


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    return _TEXT.pack(b"S", len(raw)) + raw
