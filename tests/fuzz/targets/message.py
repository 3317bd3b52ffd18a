"""A message body: a task or the reason against it, and its bytes through either broker."""

import json
from typing import Any

from pamqp import frame as amqp_frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from webhook_runner.broker.amqp import frames
from webhook_runner.broker.amqp.channel import Outgoing
from webhook_runner.broker.amqp.message import own_headers, task_message
from webhook_runner.broker.sqlite.batch import Row
from webhook_runner.broker.sqlite.record import entry_of, message_of
from webhook_runner.dispatch.fields import fields_of
from webhook_runner.dispatch.target import target_of
from webhook_runner.dispatch.wellformed import check_message
from webhook_runner.errors import InvalidTaskError, RefusedError
from webhook_runner.settings import QueueSettings
from webhook_runner.task.codec import Rules, called, decode
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.outgoing import request_for
from webhook_runner.task.progress import progress_headers

NOW = 1769848200.0  # 2026-01-31T08:30:00Z
LOOSE, STRICT = Rules(body_on_get=True), Rules(strict=True, max_message_bytes=1024)
LONGEST_COMPLAINT = 600
FRAME = 131_072
QUEUE = QueueSettings()


def check(data: bytes) -> None:
    called(data)
    loose, strict = taken(data, LOOSE), taken(data, STRICT)
    assert strict is None or strict == loose
    if loose is None:
        return
    assert loose.task.source == data
    assert_read_as_json(data, loose)
    for message in (through_file(loose), through_amqp(loose)):
        assert_same(loose, message)
    assert_sendable(loose)


def taken(data: bytes, rules: Rules) -> Envelope | None:
    try:
        decoded = decode(Message(data), "default", now=NOW, rules=rules, make_id=lambda: "made")
    except InvalidTaskError as error:
        assert error.reason
        assert 0 < len(str(error)) < LONGEST_COMPLAINT
        return None
    return decoded.envelope


def assert_read_as_json(data: bytes, envelope: Envelope) -> None:
    """Compare with another parser, numbers as they are written."""
    document = json.loads(data, parse_int=str, parse_float=str)
    task = envelope.task
    payload = document.get("payload")
    if payload is None:
        assert (task.payload, task.body) == (None, b"")
    elif isinstance(payload, str) and task.payload is not None and task.payload[:1] == b'"':
        assert task.body == payload.encode()
    else:
        assert task.body == task.payload
        assert task.body in data
        assert json.loads(task.body, parse_int=str, parse_float=str) == payload
    assert task.method == document.get("method", "POST") or document["method"] is None
    assert dict(task.headers) == (document.get("headers") or {})


def through_file(envelope: Envelope) -> Message:
    entry = entry_of(envelope, 0)
    return message_of(Row(1, 0, 0, entry.headers, entry.body, entry.properties))


def through_amqp(envelope: Envelope) -> Message:
    headers, body = arrived_as(task_message(envelope, "e", "k"))
    return Message(body, own_headers(headers))


def arrived_as(outgoing: Outgoing) -> tuple[dict[str, Any], bytes]:
    """Return headers and body as a broker that is another program reads our frames."""
    packed = frames.content(
        1, outgoing.body, outgoing.headers, message_id=outgoing.message_id, largest=FRAME
    )
    size, _, header = amqp_frame.unmarshal(packed)
    assert isinstance(header, ContentHeader)
    body = b""
    while packed := packed[size:]:
        size, _, part = amqp_frame.unmarshal(packed)
        assert isinstance(part, ContentBody)
        body += part.value
    return dict(header.properties.headers or {}), body


def assert_same(envelope: Envelope, message: Message) -> None:
    again = decode(message, "other", now=NOW + 5, rules=STRICT, make_id=str).envelope
    assert again.task == envelope.task
    assert again.named
    assert progress_headers(again) == progress_headers(envelope)
    assert again.due_at >= envelope.due_at


def assert_sendable(envelope: Envelope) -> None:
    try:
        request = request_for(envelope, QUEUE, "http://h/api", version="1")
    except InvalidTaskError:
        return
    try:
        fields_of(request, target_of(request.url).origin)
    except RefusedError as error:
        assert error.rule == "url"
    check_message(request)
