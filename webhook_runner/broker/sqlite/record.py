"""Between the rows of the queue file and messages: how a task is written down and read again."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from webhook_runner.broker.letter import shortened
from webhook_runner.broker.sqlite.batch import Entry, Row
from webhook_runner.task.model import Envelope, HeaderValue, Message
from webhook_runner.task.progress import progress_headers

_PROPERTIES = (
    "message_id",
    "timestamp",
    "content_type",
    "content_encoding",
    "correlation_id",
    "traceparent",
)
_HEADERS = msgspec.json.Decoder(dict[str, str | int])
_ABOUT = msgspec.json.Decoder(dict[str, Any])
_NO_MARKS: Mapping[str, HeaderValue] = MappingProxyType({})


def entry_of(
    envelope: Envelope, due: int, marks: Mapping[str, HeaderValue] = _NO_MARKS, replaces: int = 0
) -> Entry:
    """Write a task down; ``due`` is ``AT_ONCE`` or epoch milliseconds."""
    about = {"correlation_id": envelope.correlation_id, "traceparent": envelope.traceparent}
    headers = {**progress_headers(envelope), **marks}
    source, properties = envelope.task.source, _properties(about)
    return Entry(envelope.task.queue, _json(headers), source, properties, due, replaces)


def entry_of_message(
    queue: str, message: Message, headers: Mapping[str, HeaderValue] = _NO_MARKS
) -> Entry:
    """Write a message down byte for byte, with its properties."""
    about = {name: getattr(message, name) for name in _PROPERTIES}
    return Entry(queue, _json(dict(headers)), message.body, _properties(about))


def message_of(row: Row) -> Message:
    """Read a message again. What damage to the file made unreadable will be found invalid."""
    try:
        about = _ABOUT.decode(row.properties) if row.properties else {}
        return Message(row.body, _HEADERS.decode(row.headers), **about)
    except (msgspec.DecodeError, TypeError):
        headers = {"wr-id": "", "wr-v": "damaged", "wr-damaged": shortened(str(row.headers))}
        return Message(bytes(row.body), headers)


def _properties(about: Mapping[str, object]) -> str:
    plain = {name: value for name, value in about.items() if value not in {"", None}}
    return _json(plain) if plain else ""


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
