"""Events as counters, gauges and histograms, and the page that a Prometheus server reads."""

import platform
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from webhook_runner.observe.series import OTHER, Register, Words, outcome_class
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    BreakerClosed,
    BreakerOpened,
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
    QueueChanged,
    RetryScheduled,
    StoreFailed,
    StoreMended,
    TaskAccepted,
    TaskCancelled,
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
from webhook_runner.task.model import Kind
from webhook_runner.task.worker_event import WorkerEnded, WorkerEvent, WorkerStarted

_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600)
_DELAY_SECONDS = (0.1, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400, 604800)

ArrivalEvent = TaskReceived | TaskRejected | TaskForwarded | TaskScheduled | TaskDropped
AttemptEvent = (
    AttemptStarted | AttemptFinished | RetryScheduled | TaskSucceeded | TaskFailed | TaskCancelled
)
BrokerEvent = BrokerConnected | BrokerLost | BrokerBlocked | BrokerUnblocked | ConsumingChanged
DaemonEvent = (
    TaskAccepted
    | TaskRefused
    | TaskReleased
    | StoreFailed
    | StoreMended
    | Warned
    | QueueChanged
    | BreakerOpened
    | BreakerClosed
    | ConfigReloaded
    | ConfigRefused
    | DaemonStarted
    | DaemonOnDefaults
    | WorkerEvent
    | DaemonReady
    | DaemonDraining
    | DaemonStopped
)


class MetricsObserver:
    """Counts events in a registry of its own. Labels never grow with what senders write.

    Args:
        version: shown by ``webhook_runner_build_info``.
        queues: the configured queues; any other name is counted as ``other``.

    ``page`` is what ``text`` shows; at first what is counted here.
    """

    def __init__(self, version: str, queues: Iterable[str]) -> None:
        self._register = Register()
        self.registry = self._register.registry
        self._queues: frozenset[str] = frozenset()
        self._reason = Words()
        self._connections = 0
        self._read_destinations: Callable[[], Mapping[str, int]] = dict
        # Looked up by class: a chain of questions would be asked several times for each task.
        self._takers: dict[type[Event], Callable[..., None]] = {
            kind: taker
            for kinds, taker in (
                (AttemptEvent, self._attempt),
                (ArrivalEvent, self._arrival),
                (BrokerEvent, self._broker),
                (DaemonEvent, self._daemon),
            )
            for kind in get_args(kinds)
        }
        self.page: Collector = self.registry
        self._make_task_metrics()
        self._make_daemon_metrics(version)
        self.set_queues(queues)

    def set_queues(self, queues: Iterable[str]) -> None:
        """Take these names for labels from now on, and show each from zero."""
        self._queues = frozenset(queues)
        for queue in sorted(self._queues):
            self._in_flight[queue,] += 0
            self._consuming[queue,] += 0
            self._tasks[queue, "succeeded", ""] += 0

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a number that somebody else keeps; ``read`` is called for every page."""
        self._register.watched_gauge(name, text, read)

    def watch_destinations(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Show how many destinations there are in each state; ``read`` as in ``watch``."""
        self._read_destinations = read

    def text(self) -> bytes:
        """Return the page for a Prometheus server, in its text format 0.0.4."""
        self.look()
        return generate_latest(self.page)

    def look(self) -> None:
        """Count destinations for ``registry``; what else others keep is read when it is."""
        for state, number in self._read_destinations().items():
            self._breakers[state,] = number

    def notice(self, event: Event) -> None:
        self._takers[type(event)](event)

    def _daemon(self, event: DaemonEvent) -> None:
        match event:
            case TaskAccepted(envelope=envelope):
                self._accepted[self._queue(envelope.task.queue),] += 1
            case TaskRefused(queue=queue, reason=reason):
                self._refused[self._queue(queue), self._reason(reason)] += 1
            case StoreFailed() | StoreMended():
                self._store_up[()] = isinstance(event, StoreMended)
            case BreakerOpened() | BreakerClosed():
                turn = "open" if isinstance(event, BreakerOpened) else "closed"
                self._breaker_turns[turn,] += 1
            case ConfigReloaded() | ConfigRefused():
                took = "true" if isinstance(event, ConfigReloaded) else "false"
                self._reloads[took,] += 1
            case WorkerStarted() | WorkerEnded():
                self._worker_ends[()] += isinstance(event, WorkerEnded)
            case (
                TaskReleased()
                | Warned()
                | QueueChanged()
                | DaemonStarted()
                | DaemonOnDefaults()
                | DaemonReady()
                | DaemonDraining()
                | DaemonStopped()
            ):
                pass

    def _attempt(self, event: AttemptEvent) -> None:
        queue = self._queue(event.envelope.task.queue)
        match event:
            case AttemptStarted(lag=lag):
                self._in_flight[queue,] += 1
                self._lag[queue,].observe(max(lag, 0.0))
            case AttemptFinished(outcome=outcome, seconds=seconds):
                self._in_flight[queue,] -= 1
                self._attempts[queue, outcome_class(outcome)] += 1
                self._request_seconds[queue,].observe(seconds)
            case RetryScheduled(delay=delay):
                self._retry_delay[queue,].observe(delay)
            case TaskSucceeded() | TaskCancelled():
                self._ended(event, queue)
            case TaskFailed():
                self._failed(event, queue)

    def _ended(self, event: TaskSucceeded | TaskCancelled, queue: str) -> None:
        is_rollback = event.envelope.kind is Kind.ROLLBACK
        if isinstance(event, TaskCancelled):
            self._tasks[queue, "cancelled", ""] += 1
            if event.rolled_back or is_rollback:
                self._rollbacks[queue, "failed" if is_rollback else "pending"] += 1
        else:
            self._tasks[queue, "succeeded", ""] += 1
            if is_rollback:
                self._rollbacks[queue, "delivered"] += 1

    def _failed(self, event: TaskFailed, queue: str) -> None:
        reason = self._reason(event.failure.reason)
        self._tasks[queue, "expired" if event.expired else "failed", reason] += 1
        self._dead[queue, reason] += 1
        if event.rolled_back:
            self._rollbacks[queue, "pending"] += 1
        if event.envelope.kind is Kind.ROLLBACK:
            self._rollbacks[queue, "failed"] += 1

    def _arrival(self, event: ArrivalEvent) -> None:
        match event:
            case TaskReceived(envelope=envelope):
                again = "true" if envelope.turn else "false"
                self._received[self._queue(envelope.task.queue), again] += 1
            case TaskRejected(queue=name, reason=reason):
                queue, reason = self._queue(name), self._reason(reason)
                self._tasks[queue, "invalid", reason] += 1
                self._invalid[queue, reason] += 1
            case TaskForwarded(envelope=envelope, errand=errand):
                labels = self._queue(envelope.task.queue), self._reason(errand)
                self._forwarded[labels] += 1
            case TaskScheduled(envelope=envelope, why=why):
                self._held[self._queue(envelope.task.queue), self._reason(why)] += 1
            case TaskDropped(envelope=envelope, reason=reason):
                labels = self._queue(envelope.task.queue), self._reason(reason)
                self._dropped[labels] += 1

    def _broker(self, event: BrokerEvent) -> None:
        match event:
            case BrokerConnected():
                self._up[()] = 1
                self._blocked[()] = 0
                self._connections += 1
                if self._connections > 1:
                    self._reconnects[()] += 1
            case BrokerLost():
                self._up[()] = 0
                self._blocked[()] = 0
            case BrokerBlocked():
                self._blocked[()] = 1
            case BrokerUnblocked():
                self._blocked[()] = 0
            case ConsumingChanged(queue=queue, consuming=consuming):
                self._consuming[self._queue(queue),] = consuming

    def _queue(self, name: str) -> str:
        return name if name in self._queues else OTHER

    def _make_task_metrics(self) -> None:
        count, histogram = self._register.counter, self._register.histogram
        self._accepted = count("accepted", "Tasks taken by HTTP.", "queue")
        self._refused = count("refused", "Tasks not taken by HTTP.", "queue", "reason")
        self._received = count("received", "Deliveries taken.", "queue", "redelivered")
        self._tasks = count("tasks", "Tasks that have ended.", "queue", "state", "reason")
        self._attempts = count("attempts", "Attempts by what they met with.", "queue", "class")
        self._invalid = count("invalid", "Messages set aside as invalid.", "queue", "reason")
        self._dead = count("dead", "Dead letters written.", "queue", "reason")
        self._dropped = count("dropped", "Copies acknowledged unused.", "queue", "reason")
        self._forwarded = count("forwarded", "Messages sent on to a queue.", "queue", "errand")
        self._held = count("held", "Waits that charged no attempt.", "queue", "reason")
        self._rollbacks = count("rollback", "Roll-backs by how far they came.", "queue", "outcome")
        self._request_seconds = histogram(
            "request_seconds", "Duration of an attempt.", _REQUEST_SECONDS
        )
        self._lag = histogram(
            "schedule_lag_seconds", "Start of an attempt after its due time.", _LAG_SECONDS
        )
        self._retry_delay = histogram("retry_delay_seconds", "Wait for a retry.", _DELAY_SECONDS)

    def _make_daemon_metrics(self, version: str) -> None:
        count, gauge = self._register.counter, self._register.gauge
        self._in_flight = gauge("in_flight", "Attempts running now.", "queue")
        self._consuming = gauge("consuming", "1 while the queue is consumed.", "queue")
        self._up = gauge("broker_up", "1 while connected to the broker.")
        self._blocked = gauge("broker_blocked", "1 while it takes no publishes.")
        self._store_up = gauge("store_up", "1 while the store takes entries.")
        self._store_up[()] = 1
        self._reconnects = count("reconnects", "Connections after the first.")
        self._breakers = gauge("breaker_state", "Destinations by how they stand.", "state")
        self._breaker_turns = count(
            "breaker_changes", "Breakers that opened or were closed.", "state"
        )
        self._reloads = count("config_reloads", "Reloads of the configuration.", "ok")
        self._worker_ends = count("worker_ends", "Workers that ended unasked.")
        build = gauge("build_info", "1; the labels say what runs.", "version", "python")
        build[version, platform.python_version()] = 1
