"""Which line an event becomes: its stable name, its level, its fields. Nothing is written here."""

from collections.abc import Mapping
from dataclasses import dataclass
from logging import DEBUG, ERROR, INFO, WARNING

import msgspec

from webhook_runner.observe.daemon_lines import daemon_line
from webhook_runner.observe.line import Fields, Line, iso, milliseconds
from webhook_runner.observe.redact import clean, clean_value, without
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RetryScheduled,
    TaskAccepted,
    TaskCancelled,
    TaskDropped,
    TaskFailed,
    TaskForwarded,
    TaskReceived,
    TaskReleased,
    TaskScheduled,
    TaskSucceeded,
)
from webhook_runner.task.model import Envelope, Kind
from webhook_runner.task.outcome import (
    Interrupted,
    Outcome,
    Refused,
    Responded,
    TimedOut,
    Unreachable,
)

ArrivalEvent = (
    TaskAccepted | TaskReceived | TaskForwarded | TaskScheduled | TaskDropped | TaskReleased
)
AttemptEvent = (
    AttemptStarted | AttemptFinished | RetryScheduled | TaskSucceeded | TaskFailed | TaskCancelled
)

_OFTEN = frozenset({"breaker_open", "host_saturated"})
"""Waits that a task may have again and again; the breaker itself is told of."""


def outcome_fields(outcome: Outcome, headers: Mapping[str, str]) -> Fields:
    """Return what a line tells of an outcome: never a body, never a value of these headers."""
    match outcome:
        case Responded(status=status, note=note):
            return (
                {"status": status, "note": clean(without(note, headers))}
                if note
                else {"status": status}
            )
        case TimedOut(sent=sent):
            return {"error": "timeout", "sent": sent}
        case Unreachable(trouble=trouble, detail=detail, sent=sent):
            return {"error": trouble.value, "detail": clean(without(detail, headers)), "sent": sent}
        case Refused(rule=rule, detail=detail):
            return {
                "error": "refused",
                "rule": clean(rule),
                "detail": clean(without(detail, headers)),
            }
        case Interrupted(sent=sent):
            return {"error": "interrupted", "sent": sent}


def attempt_fields(event: AttemptFinished) -> Fields:
    """Return what the line that ends an attempt tells of it."""
    envelope = event.envelope
    met = outcome_fields(event.outcome, envelope.task.headers)
    lag = (envelope.last_attempt_at or envelope.due_at) - envelope.due_at
    return {**met, "duration_ms": milliseconds(event.seconds), "lag_ms": milliseconds(lag)}


@dataclass(frozen=True, slots=True)
class Renderer:
    """Turns events into lines; ``metadata`` adds the metadata of the task to each of its own."""

    metadata: bool = False

    def line(self, event: Event) -> Line:
        if isinstance(event, AttemptEvent):
            return self._of_attempt(event)
        if isinstance(event, ArrivalEvent):
            return self._of_arrival(event)
        return daemon_line(event)

    def _task(self, envelope: Envelope) -> Fields:
        task = envelope.task
        fields: Fields = {"task_id": task.id, "queue": task.queue, "attempt": envelope.attempt}
        if envelope.run != 1:
            fields["run"] = envelope.run
        if envelope.kind is not Kind.TASK:
            fields["kind"] = envelope.kind.value
        if envelope.correlation_id:
            fields["correlation_id"] = clean(envelope.correlation_id)
        if envelope.traceparent:
            fields["trace_id"] = clean(envelope.traceparent[3:35])
        if self.metadata and task.metadata is not None:
            fields["metadata"] = _metadata(task.metadata)
        return fields

    def _of_arrival(self, event: ArrivalEvent) -> Line:
        fields = self._task(event.envelope)
        match event:
            case TaskAccepted(envelope=envelope):
                return Line(DEBUG, "task.accepted", {**fields, "url": clean(envelope.task.url)})
            case TaskReceived(envelope=envelope):
                fields["url"] = clean(envelope.task.url)
                if envelope.turn:
                    fields["redeliveries"] = envelope.turn
                return Line(INFO if envelope.turn else DEBUG, "task.received", fields)
            case TaskForwarded(errand=errand):
                return Line(DEBUG, "task.forwarded", {**fields, "errand": clean(errand)})
            case TaskScheduled(until=until, why=why):
                fields |= {"next_at": iso(until), "reason": clean(why)}
                return Line(DEBUG if why in _OFTEN else INFO, "task.scheduled", fields)
            case TaskDropped(reason=reason):
                return Line(INFO, "task.dropped", {**fields, "reason": clean(reason)})
            case TaskReleased():
                return Line(INFO, "task.released", fields)

    def _of_attempt(self, event: AttemptEvent) -> Line:
        fields = self._task(event.envelope)
        match event:
            case AttemptStarted(lag=lag):
                fields["lag_ms"] = milliseconds(lag)
                return Line(DEBUG, "task.attempt.started", fields)
            case AttemptFinished(outcome=outcome, seconds=seconds):
                fields |= outcome_fields(outcome, event.envelope.task.headers)
                fields["duration_ms"] = milliseconds(seconds)
                return Line(DEBUG, "task.attempt.finished", fields)
            case RetryScheduled(envelope=envelope, delay=delay, reason=reason):
                fields |= _last(envelope)
                fields |= {
                    "reason": clean(reason),
                    "delay_s": round(delay, 3),
                    "next_at": iso(envelope.due_at),
                }
                return Line(INFO, "task.retry.scheduled", fields)
            case TaskSucceeded(envelope=envelope):
                undone = envelope.kind is Kind.ROLLBACK
                return Line(INFO, "task.rolled_back" if undone else "task.succeeded", fields)
            case TaskFailed():
                return _failed(event, fields)
            case TaskCancelled(rolled_back=rolled_back):
                return Line(INFO, "task.cancelled", {**fields, "rolled_back": rolled_back})


def _failed(event: TaskFailed, fields: Fields) -> Line:
    failure = event.failure
    fields |= {"reason": clean(failure.reason), "attempts": failure.attempts}
    if failure.last_status is not None:
        fields["status"] = failure.last_status
    if failure.last_error:
        fields["error"] = clean(without(failure.last_error, event.envelope.task.headers))
    if event.envelope.kind is Kind.ROLLBACK:
        return Line(ERROR, "task.rollback.failed", fields)
    fields["rolled_back"] = event.rolled_back
    if event.expired:
        return Line(WARNING, "task.expired", fields)
    # A failure that a roll-back takes care of needs nobody's eyes at once.
    return Line(WARNING if event.rolled_back else ERROR, "task.failed", fields)


def _last(envelope: Envelope) -> Fields:
    fields: Fields = {}
    if envelope.last_status is not None:
        fields["status"] = envelope.last_status
    if envelope.last_error:
        fields["error"] = clean(without(envelope.last_error, envelope.task.headers))
    return fields


def _metadata(raw: bytes) -> object:
    try:
        return clean_value(msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "unreadable"
