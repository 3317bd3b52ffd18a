"""From a change to the row that it makes of its run."""

import msgspec
from msgspec.structs import replace

from webhook_runner.task.model import Envelope, Kind
from webhook_runner.task.progress import progress_headers
from webhook_runner.task.record import Change, TaskRecord
from webhook_runner.task.state import TaskState

FINAL = frozenset(state for state in TaskState if state.is_final)


def row_of(change: Change, *, payloads: bool) -> TaskRecord:
    """Return the row as this change alone would have it."""
    envelope, state = change.envelope, change.state
    task = envelope.task
    met = change.status is not None or change.error
    started = envelope.first_attempt_at
    if started is None and state is TaskState.RUNNING:
        started = change.at
    return TaskRecord(
        id=task.id,
        run=envelope.run,
        seq=change.seq,
        queue=task.queue,
        url=task.url,
        method=task.method,
        state=state,
        attempt=_attempt(envelope, state),
        created_at=envelope.first_at,
        due_at=envelope.due_at,
        changed_at=change.at,
        fingerprint=task.fingerprint,
        kind=envelope.kind,
        origin=envelope.origin,
        reason=change.reason,
        started_at=started,
        ended_at=change.at if state in FINAL else None,
        last_status=change.status if met else envelope.last_status,
        last_error=change.error if met else envelope.last_error,
        eta=task.eta,
        expires=task.expires,
        max_retries=task.max_retries,
        roll_back="" if task.roll_back is None else task.roll_back.url,
        rollback=change.rollback,
        metadata=task.metadata,
        correlation_id=envelope.correlation_id,
        traceparent=envelope.traceparent,
        source=task.source if payloads else None,
        progress=_progress(envelope) if envelope.kind is Kind.ROLLBACK else None,
    )


def _attempt(envelope: Envelope, state: TaskState) -> int:
    """Return the attempt under way or the last one; the envelope numbers the next one.

    No attempt begins before its due time, so one that began before was another copy's.
    """
    last = envelope.last_attempt_at
    begun = state is TaskState.RUNNING or (last is not None and last >= envelope.due_at)
    return envelope.attempt if begun else envelope.attempt - 1


def _progress(envelope: Envelope) -> bytes:
    first = replace(
        envelope,
        due_at=envelope.first_at,
        attempt=1,
        gen=0,
        doubtful=False,
        again=False,
        snoozes=0,
        uncounted=0,
        deaths=0,
        alone=0,
        first_attempt_at=None,
        last_attempt_at=None,
        last_status=None,
        last_error="",
    )
    return msgspec.json.encode(progress_headers(first))
