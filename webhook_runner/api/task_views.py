"""Tasks and attempts as the API tells them, for who may see all and for who may not."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from webhook_runner.observe.redact import clean
from webhook_runner.task.instant import rfc_3339
from webhook_runner.task.model import Kind
from webhook_runner.task.record import Attempt, RollbackState, TaskRecord
from webhook_runner.task.state import TaskState

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Anything = Annotated[Any, Meta(description="Any JSON; null for a token of the role read.")]


class RollBackView(Struct, frozen=True):
    """The call that undoes it; `state` is null while nothing has to be undone."""

    url: str
    state: RollbackState | None


class TaskView(Struct, frozen=True):
    """What is known of one run of a task; null: nothing, or not yet."""

    id: str
    run: int
    queue: str
    url: str
    method: str
    state: TaskState
    retrying: Annotated[bool, Meta(description="It waits after an attempt that failed.")]
    reason: Annotated[str | None, Meta(description="Why it is in this state.")]
    attempt: Annotated[int, Meta(description="Under way, or the last one; 0 before the first.")]
    created_at: Time
    due_at: Time
    changed_at: Time
    started_at: Time | None
    ended_at: Time | None
    last_status: int | None
    last_error: str | None
    eta: Time | None
    expires: Time | None
    max_retries: int | None
    kind: Kind
    origin: Annotated[str | None, Meta(description="Of a roll-back: the task that it undoes.")]
    roll_back: RollBackView | None
    metadata: Anything
    correlation_id: str | None
    message: Annotated[
        Any, Meta(description="As published; with `message=true` only, null when not kept.")
    ] = msgspec.UNSET


class ResponseView(Struct, frozen=True):
    """What the endpoint answered, as far as it is kept."""

    headers: dict[str, str]
    body: str
    base64: Annotated[bool, Meta(description="`body` is in base64: it is no UTF-8.")]
    truncated: bool


class AttemptView(Struct, frozen=True):
    """One attempt that has ended."""

    attempt: int
    started_at: Time
    ended_at: Time
    seconds: float
    outcome: Annotated[
        str, Meta(description="responded, timed_out, unreachable, refused or interrupted")
    ]
    status: int | None
    error: str | None
    detail: str | None
    response: Annotated[
        ResponseView | None,
        Meta(description="Null without an answer, and for a token of the role read."),
    ]


def task_view(record: TaskRecord, *, whole: bool, message: bool = False) -> TaskView:
    """Return what is told of a run; without ``whole``, nothing of what the task carries."""
    seen = str if whole else clean
    roll_back = RollBackView(seen(record.roll_back), record.rollback) if record.roll_back else None
    return TaskView(
        id=record.id,
        run=record.run,
        queue=record.queue,
        url=seen(record.url),
        method=record.method,
        state=record.state,
        retrying=record.state is TaskState.SCHEDULED and record.attempt > 0,
        reason=record.reason or None,
        attempt=record.attempt,
        created_at=rfc_3339(record.created_at),
        due_at=rfc_3339(record.due_at),
        changed_at=rfc_3339(record.changed_at),
        started_at=instant(record.started_at),
        ended_at=instant(record.ended_at),
        last_status=record.last_status,
        last_error=seen(record.last_error) or None,
        eta=instant(record.eta),
        expires=instant(record.expires),
        max_retries=record.max_retries,
        kind=record.kind,
        origin=record.origin or None,
        roll_back=roll_back,
        metadata=raw_json(record.metadata) if whole else None,
        correlation_id=record.correlation_id or None,
        message=raw_json(record.source) if whole and message else msgspec.UNSET,
    )


def attempt_view(attempt: Attempt, *, whole: bool) -> AttemptView:
    """Return what is told of an attempt; without ``whole``, not what was answered to it."""
    has_answer = whole and attempt.outcome == "responded"
    return AttemptView(
        attempt=attempt.attempt,
        started_at=rfc_3339(attempt.started_at),
        ended_at=rfc_3339(attempt.ended_at),
        seconds=round(max(0.0, attempt.ended_at - attempt.started_at), 6),
        outcome=attempt.outcome,
        status=attempt.status,
        error=attempt.error or None,
        detail=(attempt.detail if whole else clean(attempt.detail)) or None,
        response=_response(attempt.headers, attempt) if has_answer else None,
    )


def _response(headers: Mapping[str, str], attempt: Attempt) -> ResponseView:
    body, in_base64 = text_of(attempt.body)
    return ResponseView(dict(headers), body, in_base64, attempt.truncated)


def text_of(body: bytes) -> tuple[str, bool]:
    """Return bytes as text; what is no UTF-8 in base64, and True."""
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def raw_json(raw: bytes | None) -> object:
    """Return JSON to be written into an answer just as it stands, None for none.

    What is no JSON, as an invalid message may be, becomes a string.
    """
    if raw is None:
        return None
    try:
        msgspec.json.decode(raw)
        raw.decode()
    except (ValueError, RecursionError):
        return text_of(raw)[0]
    return Raw(raw)


def instant(at: float | None) -> str | None:
    """Return epoch seconds as RFC 3339, None as None."""
    return None if at is None else rfc_3339(at)
