"""From a broker's message to a task on its way, or the reason why it cannot be one."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.document import read_document
from webhook_runner.task.fields import (
    TASK_ID,
    DedupFields,
    RollBackFields,
    TaskFields,
    read_fields,
    unknown_fields,
)
from webhook_runner.task.header import check_headers
from webhook_runner.task.instant import parse_instant
from webhook_runner.task.model import Dedup, Envelope, Message, RollBack, Task
from webhook_runner.task.progress import MAX_TEXT_CHARS, read_progress
from webhook_runner.task.url import checked_url

OLDEST_TIMESTAMP_SECONDS = 400 * 86400.0  # an older one is taken for a broken clock
BACKLOG_SECONDS = 2.0
MAX_UNKNOWN_TOLD = 10

_PLAIN_ENCODINGS = frozenset({"", "utf-8", "utf8", "identity"})
_BODILESS = frozenset({"GET", "HEAD"})
_ID = re.compile(TASK_ID.strip("^$"))
_TEMPLATE = re.compile(r"\$?\{[^{}]*\}")
# W3C Trace Context §3.2: version ff is forbidden, ids of zeros are invalid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)
_STRING = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Rules:
    """What this daemon takes. ``max_delay`` is seconds, ``body_on_get`` that of the queue.

    They hold at the door only: a copy of ours was let in before and is never refused by them.
    """

    max_message_bytes: int = 1_048_576
    max_delay: float = 31_536_000.0
    strict: bool = False
    body_on_get: bool = False


class Decoded(Struct, frozen=True):
    """A valid message, and what its sender should know although it is valid."""

    envelope: Envelope
    warnings: tuple[str, ...] = ()


def decode(
    message: Message, queue: str, *, now: float, rules: Rules, make_id: Callable[[], str]
) -> Decoded:
    """Return the task in ``message``, which arrived on ``queue`` at ``now`` (epoch seconds).

    ``make_id`` is called only when neither the message nor its ``message_id`` names the task.

    Raises:
        InvalidTaskError: the message breaks a rule; says which, where, and what would be right.

    """
    progress = read_progress(message.headers)
    if progress is None:
        _check_outside(message, rules)
    document = read_document(message.body)
    fields = read_fields(document)
    if progress is not None:
        task = _task(message, document, fields, (progress.id, progress.queue))
        return Decoded(progress.envelope(task))
    unknown = unknown_fields(document)
    if unknown and rules.strict:
        raise InvalidTaskError("unknown_field", "is not known (strict = true)", unknown[0][:100])
    named = fields.id or (_ID.fullmatch(message.message_id) and message.message_id)
    task = _task(message, document, fields, (named or make_id(), fields.queue or queue))
    if not rules.body_on_get:
        check_bodies(task)
    envelope = Envelope(
        task=task,
        first_at=now,
        due_at=_due_at(task, message, now, rules),
        named=bool(named),
        correlation_id=message.correlation_id[:MAX_TEXT_CHARS],
        traceparent=_traceparent(message),
    )
    return Decoded(envelope, _warnings(message, task, unknown))


def called(body: bytes) -> tuple[str, str, str]:
    """Return what can be read of the url, the method and the id of any message, or ""."""
    try:
        document = read_document(body)
    except InvalidTaskError:
        return "", "", ""
    return (
        _text(document.get("url")),
        _text(document.get("method", b'"POST"')),
        _text(document.get("id")),
    )


def _text(raw: bytes | None) -> str:
    return _STRING.decode(raw) if raw is not None and raw.startswith(b'"') else ""


def _check_outside(message: Message, rules: Rules) -> None:
    size, limit = len(message.body), rules.max_message_bytes
    if size > limit:
        text = f"the message has {size} bytes; max_message_bytes = {limit}"
        raise InvalidTaskError("too_large", text)
    if message.content_encoding.strip().lower() not in _PLAIN_ENCODINGS:
        text = f"content_encoding {message.content_encoding!r:.40} is not read; send plain UTF-8"
        raise InvalidTaskError("content_encoding", text)


def _task(
    message: Message, document: dict[str, bytes], fields: TaskFields, name: tuple[str, str]
) -> Task:
    checked_url(fields.url)
    check_headers(fields.headers)
    payload = _present(document, "payload")
    return Task(
        id=name[0],
        queue=name[1],
        url=fields.url,
        source=message.body,
        method=fields.method,
        payload=payload,
        body=_body(payload),
        headers=fields.headers,
        eta=None if fields.eta is None else parse_instant(fields.eta, "eta", round_up=True),
        countdown=fields.countdown,
        expires=None
        if fields.expires is None
        else parse_instant(fields.expires, "expires", round_up=False),
        max_retries=fields.max_retries,
        timeout=fields.timeout,
        roll_back=_roll_back(fields.roll_back),
        metadata=_present(document, "metadata"),
        dedup=_dedup(fields.dedup),
    )


def _present(document: dict[str, bytes], name: str) -> bytes | None:
    raw = document.get(name)
    return None if raw == b"null" else raw


def _body(payload: bytes | None) -> bytes:
    """Return the characters of a string, or the bytes of any other value as they were written."""
    if payload is None:
        return b""
    return _STRING.decode(payload).encode() if payload.startswith(b'"') else payload


def _roll_back(fields: RollBackFields | None) -> RollBack | None:
    if fields is None:
        return None
    checked_url(fields.url, "roll_back.url")
    check_headers(fields.headers, "roll_back.headers")
    return RollBack(fields.url, fields.method, fields.headers)


def _dedup(fields: DedupFields | None) -> Dedup | None:
    return None if fields is None else Dedup(fields.wanted, fields.key or "", fields.window)


def check_bodies(task: Task) -> None:
    """Refuse a body where HTTP gives it no meaning (RFC 9110 §9.3.1): what body_on_get allows.

    Raises:
        InvalidTaskError: names the field, and what would be right.

    """
    hint = "use POST, or set body_on_get = true for the queue"
    if task.method in _BODILESS and task.body:
        raise InvalidTaskError("body_not_allowed", f"{task.method} has no body; {hint}", "payload")
    if task.roll_back is not None and task.roll_back.method in _BODILESS:
        text = f"{task.roll_back.method} cannot carry what a roll-back tells; {hint}"
        raise InvalidTaskError("body_not_allowed", text, "roll_back.method")


def _due_at(task: Task, message: Message, now: float, rules: Rules) -> float:
    """Return when the task is due: ``eta`` wins over ``countdown``; what is past is now."""
    if task.eta is not None:
        field, delay, due_at = "eta", task.eta - now, task.eta
    elif task.countdown is not None:
        field, delay = "countdown", task.countdown
        due_at = _basis(message.timestamp, now) + task.countdown
    else:
        return now
    if delay > rules.max_delay:
        text = f"is further away than max_delay = {rules.max_delay:.15g} seconds"
        raise InvalidTaskError("too_far", text, field)
    return max(now, due_at)


def _basis(timestamp: float | None, now: float) -> float:
    """Return where a countdown starts: receipt, or publication when the message had to queue.

    AMQP timestamps are whole seconds, hence the second that keeps it from being early.
    """
    if timestamp is None or not BACKLOG_SECONDS < now - timestamp <= OLDEST_TIMESTAMP_SECONDS:
        return now
    return timestamp + 1


def _traceparent(message: Message) -> str:
    usable = len(message.traceparent) <= MAX_TEXT_CHARS
    return message.traceparent if usable and _TRACEPARENT.fullmatch(message.traceparent) else ""


def _warnings(message: Message, task: Task, unknown: tuple[str, ...]) -> tuple[str, ...]:
    told = unknown[:MAX_UNKNOWN_TOLD]
    warnings = [f"unknown field {name[:100]!r} is ignored" for name in told]
    if len(told) < len(unknown):
        warnings.append(f"{len(unknown) - len(told)} more unknown fields are ignored")
    if "#" in task.url:
        warnings.append("the fragment of a url (from # on) is never sent")
    if _TEMPLATE.search(task.url):
        warnings.append("the url has a template's braces in it; they are sent as they are")
    kind = message.content_type.partition(";")[0].strip().lower()
    if kind not in {"", "application/json"} and not kind.endswith("+json"):
        warnings.append(f"content_type {kind[:60]!r} is not application/json; read as JSON")
    if not message.persistent:
        warnings.append("not persistent: a broker that restarts loses the message")
    if message.expiration:
        warnings.append("has an AMQP expiration: the broker drops it silently; use expires")
    return tuple(warnings)
