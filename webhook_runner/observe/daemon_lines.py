"""Which line an event of daemon, broker, store or operator becomes."""

from logging import DEBUG, ERROR, INFO, WARNING

from webhook_runner.observe.line import Fields, Line, iso
from webhook_runner.observe.redact import clean
from webhook_runner.task.event import (
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
    QueueChanged,
    StoreFailed,
    StoreMended,
    TaskRefused,
    TaskRejected,
    Warned,
)
from webhook_runner.task.worker_event import WorkerEnded, WorkerEvent, WorkerStarted

BrokerEvent = BrokerConnected | BrokerLost | BrokerBlocked | BrokerUnblocked | ConsumingChanged
BreakerEvent = BreakerOpened | BreakerClosed
StoreEvent = StoreFailed | StoreMended
DaemonEvent = DaemonStarted | DaemonOnDefaults | DaemonReady | DaemonDraining | DaemonStopped
OperatorEvent = TaskRejected | TaskRefused | Warned | ConfigReloaded | ConfigRefused | QueueChanged


def daemon_line(
    event: BrokerEvent | BreakerEvent | StoreEvent | WorkerEvent | DaemonEvent | OperatorEvent,
) -> Line:
    """Return the line of an event that is not of one task on its way."""
    if isinstance(event, OperatorEvent):
        return _for_operator(event)
    if isinstance(event, BreakerEvent):
        return _of_breaker(event)
    if isinstance(event, StoreEvent):
        return _of_store(event)
    if isinstance(event, WorkerEvent):
        return _of_worker(event)
    return _of_broker(event) if isinstance(event, BrokerEvent) else _of_daemon(event)


def _of_breaker(event: BreakerEvent) -> Line:
    fields: Fields = {"destination": clean(event.destination)}
    match event:
        case BreakerOpened(reason=reason, until=until):
            fields |= {"reason": reason, "requests": event.requests, "failures": event.failures}
            if until is not None:
                fields["until"] = iso(until)
            return Line(WARNING, "breaker.opened", fields)
        case BreakerClosed(forced=forced):
            return Line(INFO, "breaker.closed", {**fields, "forced": forced})


def _of_store(event: StoreEvent) -> Line:
    match event:
        case StoreFailed(reason=reason, waits=waits):
            return Line(ERROR, "store.failed", {"reason": clean(reason), "waits": waits})
        case StoreMended(lost=lost):
            return Line(INFO, "store.mended", {"lost": lost})


def _of_worker(event: WorkerEvent) -> Line:
    fields: Fields = {"worker": event.worker, "worker_pid": event.pid}
    match event:
        case WorkerStarted():
            return Line(INFO, "worker.started", fields)
        case WorkerEnded(how=how, retry_in=retry_in):
            fields |= {"how": clean(how), "delay_s": round(retry_in, 3)}
            return Line(ERROR, "worker.ended", fields)


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
        case QueueChanged(queue=queue, paused=paused, limits=limits):
            fields: Fields = {"queue": clean(queue), "paused": paused, "limits": _texts(limits)}
            return Line(INFO, "queue.changed", fields)
        case ConfigReloaded(changes=changes, need_restart=need_restart):
            level = WARNING if need_restart else INFO
            fields = {"changes": _texts(changes), "need_restart": _texts(need_restart)}
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
        case DaemonStarted(version=version, config=config, broker=broker, store=store):
            fields: Fields = {"version": version, "config": clean(config), "broker": clean(broker)}
            fields["store"] = clean(store)
            fields |= {"listen": clean(event.listen), "queues": _texts(event.queues)}
            return Line(INFO, "daemon.started", fields)
        case DaemonOnDefaults(queue_file=queue_file, tasks=tasks, trial=trial, onward=onward):
            fields = {"queue_file": clean(queue_file), "tasks": tasks, "try": trial}
            return Line(INFO, "daemon.first_run", {**fields, "onward": onward})
        case DaemonReady():
            return Line(INFO, "daemon.ready", {})
        case DaemonDraining(in_flight=in_flight, timeout=timeout, reason=reason):
            fields = {"in_flight": in_flight, "timeout_s": timeout, "reason": clean(reason)}
            return Line(ERROR if reason else INFO, "daemon.draining", fields)
        case DaemonStopped(interrupted=interrupted):
            return Line(INFO, "daemon.stopped", {"interrupted": interrupted})


def _texts(texts: tuple[str, ...]) -> list[str]:
    return [clean(text) for text in texts]
