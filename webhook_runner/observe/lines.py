"""Which line an event becomes: its stable name, its level, its fields. Nothing is written here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import DEBUG, ERROR, INFO, WARNING
from typing import NamedTuple

import msgspec

from webhook_runner.observe.redact import clean, clean_value, without
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    BrokerBlocked,
    BrokerConnected,
    BrokerLost,
    BrokerUnblocked,
    ConfigRefused,
    ConfigReloaded,
    ConsumingChanged,
    DaemonDraining,
    DaemonOnDefaults,
    DaemonReady,
    DaemonStarted,
    DaemonStopped,
    Event,
    RetryScheduled,
    TaskAccepted,
    TaskDropped,
    TaskFailed,
    TaskForwarded,
    TaskReceived,
    TaskRefused,
    TaskRejected,
    TaskReleased,
    TaskScheduled,
    TaskSucceeded,
    Warned,
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

Fields = dict[str, object]
ArrivalEvent = (
    TaskAccepted | TaskReceived | TaskForwarded | TaskScheduled | TaskDropped | TaskReleased
)
AttemptEvent = AttemptStarted | AttemptFinished | RetryScheduled | TaskSucceeded | TaskFailed
BrokerEvent = BrokerConnected | BrokerLost | BrokerBlocked | BrokerUnblocked | ConsumingChanged
DaemonEvent = DaemonStarted | DaemonOnDefaults | DaemonReady | DaemonDraining | DaemonStopped
OperatorEvent = TaskRejected | TaskRefused | Warned | ConfigReloaded | ConfigRefused


class Line(NamedTuple):
    level: int
    name: str
    fields: Fields


def iso(at: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC with milliseconds: ``2026-01-31T08:00:00.000Z``."""
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return str(at)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


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


def attempt_fields(event: AttemptFinished, lag: float) -> Fields:
    """Return what the line that ends an attempt tells of it; ``lag`` in seconds."""
    met = outcome_fields(event.outcome, event.envelope.task.headers)
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
        if isinstance(event, OperatorEvent):
            return _for_operator(event)
        return _of_broker(event) if isinstance(event, BrokerEvent) else _of_daemon(event)

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
            case TaskReceived(envelope=envelope, redeliveries=redeliveries):
                fields["url"] = clean(envelope.task.url)
                if redeliveries:
                    fields["redeliveries"] = redeliveries
                return Line(INFO if redeliveries else DEBUG, "task.received", fields)
            case TaskForwarded(errand=errand):
                return Line(DEBUG, "task.forwarded", {**fields, "errand": clean(errand)})
            case TaskScheduled(until=until, why=why):
                fields |= {"next_at": iso(until), "reason": clean(why)}
                return Line(INFO, "task.scheduled", fields)
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


def _of_misfit(event: TaskRejected | TaskRefused) -> Line:
    fields: Fields = {"queue": clean(event.queue), "reason": clean(event.reason)}
    fields["error"] = clean(event.explanation)
    if event.field:
        fields["field"] = clean(event.field)
    match event:
        case TaskRejected(task_id=task_id):
            known = {"task_id": clean(task_id)} if task_id else {}
            return Line(WARNING, "task.rejected", {**fields, **known})
        case TaskRefused():
            return Line(DEBUG, "task.refused", fields)


def _for_operator(event: OperatorEvent) -> Line:
    match event:
        case TaskRejected() | TaskRefused():
            return _of_misfit(event)
        case Warned(about=about, text=text):
            return Line(WARNING, "warning", {"about": clean(about), "text": clean(text)})
        case ConfigReloaded(changes=changes, need_restart=need_restart):
            level = WARNING if need_restart else INFO
            fields: Fields = {"changes": _texts(changes), "need_restart": _texts(need_restart)}
            return Line(level, "config.reloaded", fields)
        case ConfigRefused(problems=problems):
            return Line(ERROR, "config.refused", {"problems": _texts(problems)})


def _of_broker(event: BrokerEvent) -> Line:
    match event:
        case BrokerConnected(host=host, version=version):
            fields: Fields = {"host": clean(host), "version": clean(version)}
            return Line(INFO, "broker.connected", fields)
        case BrokerLost(error=error, retry_in=retry_in):
            fields = {"error": clean(error), "delay_s": round(retry_in, 3)}
            return Line(WARNING, "broker.lost", fields)
        case BrokerBlocked(reason=reason):
            return Line(WARNING, "broker.blocked", {"reason": clean(reason)})
        case BrokerUnblocked():
            return Line(INFO, "broker.unblocked", {})
        case ConsumingChanged(queue=queue, consuming=True):
            return Line(INFO, "queue.consuming", {"queue": clean(queue)})
        case ConsumingChanged(queue=queue, why=why):
            fields = {"queue": clean(queue), "reason": clean(why)}
            return Line(WARNING if why else INFO, "queue.stopped", fields)


def _of_daemon(event: DaemonEvent) -> Line:
    match event:
        case DaemonStarted(version=version, config=config, broker=broker, listen=listen):
            fields: Fields = {"version": version, "config": clean(config), "broker": clean(broker)}
            fields |= {"listen": clean(listen), "queues": _texts(event.queues)}
            return Line(INFO, "daemon.started", fields)
        case DaemonOnDefaults(queue_file=queue_file, tasks=tasks, trial=trial, onward=onward):
            fields = {"queue_file": clean(queue_file), "tasks": tasks, "try": trial}
            return Line(INFO, "daemon.first_run", {**fields, "onward": onward})
        case DaemonReady():
            return Line(INFO, "daemon.ready", {})
        case DaemonDraining(in_flight=in_flight, timeout=timeout):
            return Line(INFO, "daemon.draining", {"in_flight": in_flight, "timeout_s": timeout})
        case DaemonStopped(interrupted=interrupted):
            return Line(INFO, "daemon.stopped", {"interrupted": interrupted})


def _texts(texts: tuple[str, ...]) -> list[str]:
    return [clean(text) for text in texts]
