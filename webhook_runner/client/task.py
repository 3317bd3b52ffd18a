"""A task as its sender asks for it, and the JSON message that it becomes."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import msgspec

from webhook_runner.client.answer import Fault, Problem, Rejected

Instant = datetime | float | str
RollBack = str | Mapping[str, object]

_INVALID = 422
_RAW = (bytes, bytearray, memoryview, msgspec.Raw)
_VERBATIM = frozenset({"payload", "metadata"})
_INSTANTS = frozenset({"eta", "expires"})
_DURATIONS = frozenset({"countdown", "timeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A webhook to call. Only ``url`` is needed; what is None is left out of the message.

    Attributes:
        url: http or https, or a path that the daemon joins to its ``base_url``.
        payload: any JSON value; ``bytes`` are JSON already and go verbatim. A string arrives
            as its characters, anything else as JSON.
        countdown: seconds to wait, or a timedelta.
        eta: earliest time: an aware datetime, epoch seconds or RFC 3339; wins over countdown.
        expires: no attempt starts after it; the same forms.
        max_retries: retries after the first attempt; -1 for ever.
        timeout: seconds for a request, or a timedelta.
        roll_back: called when the task has failed for good: a url, or an object of url, method
            and headers.
        queue: else the daemon's ``default_queue``.
        metadata: any JSON value, kept and not sent; ``bytes`` as with payload.
        id: 1 to 96 letters, digits, ``_`` and ``-``; else the client makes one.

    """

    url: str
    payload: object = None
    method: str | None = None
    headers: Mapping[str, str] | None = None
    countdown: float | timedelta | None = None
    eta: Instant | None = None
    expires: Instant | None = None
    max_retries: int | None = None
    timeout: float | timedelta | None = None
    roll_back: RollBack | None = None
    queue: str | None = None
    metadata: object = None
    id: str | None = None


class Wishes(TypedDict, total=False):
    """The fields of a task beside its url, as keywords of ``send``."""

    payload: object
    method: str | None
    headers: Mapping[str, str] | None
    countdown: float | timedelta | None
    eta: Instant | None
    expires: Instant | None
    max_retries: int | None
    timeout: float | timedelta | None
    roll_back: RollBack | None
    queue: str | None
    metadata: object
    id: str | None


Sendable = Task | Mapping[str, object]
"""A task, or the message of one, as the daemon reads it, in which fields may be newer than us."""


def as_task(task: str | Task, wishes: Wishes) -> Task:
    """Return the task meant by a url, or by a task, and other fields for it."""
    return Task(url=task, **wishes) if isinstance(task, str) else replace(task, **wishes)


@dataclass(frozen=True, slots=True)
class Draft:
    """A task that is ready to go: it has an id, and its message is JSON for certain."""

    id: str
    task: Sendable
    body: bytes


class _FaultError(ValueError):
    def __init__(self, field: str, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(field, reason, detail)


def draft(task: Sendable) -> Draft | Rejected:
    """Return the message of a task, or why it can have none: one bad task spoils no array."""
    if not isinstance(task, Task | Mapping):
        kind = type(task).__name__
        return _rejected("", Fault("", "wrong_type", f"is a {kind}, not a Task or a mapping"))
    named, name = _named(task)
    try:
        return Draft(name, named, msgspec.json.encode(_members(named)))
    except _FaultError as error:
        return _rejected(name, error.fault)


def _named(task: Sendable) -> tuple[Sendable, str]:
    """Return the task with an id: what is sent twice must carry the same one."""
    if isinstance(task, Task):
        named = task if task.id is not None else replace(task, id=str(uuid.uuid4()))
        return named, str(named.id)
    given = task.get("id")
    name = uuid.uuid4() if given is None else given
    return (task if given is not None else {**task, "id": str(name)}), str(name)


def _rejected(task_id: str, fault: Fault) -> Rejected:
    said = f"{fault.field}: {fault.detail}" if fault.field else fault.detail
    return Rejected(task_id, Problem(_INVALID, "Unprocessable Content", said, (fault,)))


def _members(task: Sendable) -> dict[str, msgspec.Raw]:
    if isinstance(task, Task):
        given = ((each.name, getattr(task, each.name)) for each in fields(task))
        return {name: _json(name, value) for name, value in given if value is not None}
    return {str(name): _json(str(name), value) for name, value in task.items()}


def _json(name: str, value: object) -> msgspec.Raw:
    if isinstance(value, msgspec.Raw) or (name in _VERBATIM and isinstance(value, _RAW)):
        return _verbatim(name, bytes(value))
    if name in _INSTANTS and isinstance(value, datetime):
        value = _rfc_3339(name, value)
    if name in _DURATIONS and isinstance(value, timedelta):
        value = value.total_seconds()
    try:
        # Not msgspec's encoder: it makes null of NaN, and a countdown of null is none.
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
        )
        return msgspec.Raw(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise _FaultError(name, "not_json", f"cannot be written as JSON: {error}") from error


def _verbatim(name: str, raw: bytes) -> msgspec.Raw:
    try:
        raw.decode()
        return msgspec.json.decode(raw.strip(), type=msgspec.Raw)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        text = f"bytes must be JSON: {error}; text goes as a str"
        raise _FaultError(name, "not_json", text) from error


def _rfc_3339(name: str, at: datetime) -> str:
    if at.utcoffset() is None:
        text = f"{at.isoformat()} has no time zone; write datetime.now(UTC) or add tzinfo"
        raise _FaultError(name, "bad_time", text)
    return at.astimezone(UTC).isoformat()


def _plain(value: object) -> object:
    """Return what JSON knows for a value that it does not: a dataclass, a UUID, a datetime."""
    if isinstance(value, _RAW):
        raise TypeError("bytes are neither text nor JSON inside a value; decode them first")
    found: object = msgspec.to_builtins(value)
    return found
