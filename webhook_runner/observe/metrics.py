"""Events as counters, gauges and histograms, and the page that a Prometheus server reads."""

import platform
from collections.abc import Callable, Iterable, Mapping

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
        self.page: Collector = self.registry
        self._make_task_metrics()
        self._make_daemon_metrics(version)
        self.set_queues(queues)

    def set_queues(self, queues: Iterable[str]) -> None:
        """Take these names for labels from now on, and show each from zero."""
        self._queues = frozenset(queues)
        for queue in sorted(self._queues):
            self._in_flight(queue)
            self._consuming(queue)
            self._tasks(queue, "succeeded", "")

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a number that somebody else keeps; ``read`` is called for every page."""
        self._register.plain_gauge(name, text).set_function(read)

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
            self._breakers(state).set(number)

    def notice(self, event: Event) -> None:
        if isinstance(event, AttemptEvent):
            self._attempt(event)
        elif isinstance(event, ArrivalEvent):
            self._arrival(event)
        elif isinstance(event, BrokerEvent):
            self._broker(event)
        else:
            self._daemon(event)

    def _daemon(self, event: DaemonEvent) -> None:
        match event:
            case TaskAccepted(envelope=envelope):
                self._accepted(self._queue(envelope.task.queue)).inc()
            case TaskRefused(queue=queue, reason=reason):
                self._refused(self._queue(queue), self._reason(reason)).inc()
            case StoreFailed() | StoreMended():
                self._store_up.set(isinstance(event, StoreMended))
            case BreakerOpened() | BreakerClosed():
                turn = "open" if isinstance(event, BreakerOpened) else "closed"
                self._breaker_turns(turn).inc()
            case ConfigReloaded() | ConfigRefused():
                took = "true" if isinstance(event, ConfigReloaded) else "false"
                self._reloads(took).inc()
            case WorkerStarted() | WorkerEnded():
                self._worker_ends.inc(isinstance(event, WorkerEnded))
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
                self._in_flight(queue).inc()
                self._lag(queue).observe(max(lag, 0.0))
            case AttemptFinished(outcome=outcome, seconds=seconds):
                self._in_flight(queue).dec()
                self._attempts(queue, outcome_class(outcome)).inc()
                self._request_seconds(queue).observe(seconds)
            case RetryScheduled(delay=delay):
                self._retry_delay(queue).observe(delay)
            case TaskSucceeded() | TaskCancelled():
                self._ended(event, queue)
            case TaskFailed():
                self._failed(event, queue)

    def _ended(self, event: TaskSucceeded | TaskCancelled, queue: str) -> None:
        is_rollback = event.envelope.kind is Kind.ROLLBACK
        if isinstance(event, TaskCancelled):
            self._tasks(queue, "cancelled", "").inc()
            if event.rolled_back or is_rollback:
                self._rollbacks(queue, "failed" if is_rollback else "pending").inc()
        else:
            self._tasks(queue, "succeeded", "").inc()
            if is_rollback:
                self._rollbacks(queue, "delivered").inc()

    def _failed(self, event: TaskFailed, queue: str) -> None:
        reason = self._reason(event.failure.reason)
        self._tasks(queue, "expired" if event.expired else "failed", reason).inc()
        self._dead(queue, reason).inc()
        if event.rolled_back:
            self._rollbacks(queue, "pending").inc()
        if event.envelope.kind is Kind.ROLLBACK:
            self._rollbacks(queue, "failed").inc()

    def _arrival(self, event: ArrivalEvent) -> None:
        match event:
            case TaskReceived(envelope=envelope):
                again = "true" if envelope.turn else "false"
                self._received(self._queue(envelope.task.queue), again).inc()
            case TaskRejected(queue=name, reason=reason):
                queue, reason = self._queue(name), self._reason(reason)
                self._tasks(queue, "invalid", reason).inc()
                self._invalid(queue, reason).inc()
            case TaskForwarded(envelope=envelope, errand=errand):
                labels = self._queue(envelope.task.queue), self._reason(errand)
                self._forwarded(*labels).inc()
            case TaskScheduled(envelope=envelope, why=why):
                self._held(self._queue(envelope.task.queue), self._reason(why)).inc()
            case TaskDropped(envelope=envelope, reason=reason):
                labels = self._queue(envelope.task.queue), self._reason(reason)
                self._dropped(*labels).inc()

    def _broker(self, event: BrokerEvent) -> None:
        match event:
            case BrokerConnected():
                self._up.set(1)
                self._blocked.set(0)
                self._connections += 1
                if self._connections > 1:
                    self._reconnects.inc()
            case BrokerLost():
                self._up.set(0)
                self._blocked.set(0)
            case BrokerBlocked():
                self._blocked.set(1)
            case BrokerUnblocked():
                self._blocked.set(0)
            case ConsumingChanged(queue=queue, consuming=consuming):
                self._consuming(self._queue(queue)).set(consuming)

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
        gauge, plain = self._register.gauge, self._register.plain_gauge
        counter = self._register.plain_counter
        self._in_flight = gauge("in_flight", "Attempts running now.", "queue")
        self._consuming = gauge("consuming", "1 while the queue is consumed.", "queue")
        self._up = plain("broker_up", "1 while connected to the broker.")
        self._blocked = plain("broker_blocked", "1 while it takes no publishes.")
        self._store_up = plain("store_up", "1 while the store takes entries.")
        self._store_up.set(1)
        self._reconnects = counter("reconnects", "Connections after the first.")
        self._breakers = gauge("breaker_state", "Destinations by how they stand.", "state")
        self._breaker_turns = self._register.counter(
            "breaker_changes", "Breakers that opened or were closed.", "state"
        )
        self._reloads = self._register.counter(
            "config_reloads", "Reloads of the configuration.", "ok"
        )
        self._worker_ends = counter("worker_ends", "Workers that ended unasked.")
        build = gauge("build_info", "1; the labels say what runs.", "version", "python")
        build(version, platform.python_version()).set(1)
