"""Settings become a daemon: the only module that names implementations."""

import atexit
import sys
from collections.abc import Callable
from typing import NamedTuple

from webhook_runner import __version__
from webhook_runner.api.served import Door
from webhook_runner.broker.embedded import EmbeddedBroker
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.config.first_run import FirstRun, first_run
from webhook_runner.config.loader import Loaded
from webhook_runner.config.secrets import store_address
from webhook_runner.dispatch.extend import ExtendingDispatcher
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.engine.control import Control, Room
from webhook_runner.engine.journal import Journal
from webhook_runner.engine.queues import Queues
from webhook_runner.errors import ConfigError, StoreError
from webhook_runner.observe.fanout import Fanout
from webhook_runner.observe.log import LogObserver
from webhook_runner.observe.logger import configure
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.observe.redact import Redaction, clean
from webhook_runner.observe.sink import Sink
from webhook_runner.ports import Clock, Observer, Store
from webhook_runner.process.alone import Alone, Workforce
from webhook_runner.process.bell import Bell
from webhook_runner.process.clock import SystemClock, dice, task_id
from webhook_runner.process.daemon import Daemon, Parts
from webhook_runner.process.edges import adopter, rabbit, watch
from webhook_runner.process.extensions import load_extensions
from webhook_runner.process.failpoints import armed
from webhook_runner.process.loop import run_in_loop
from webhook_runner.process.loss import Loss
from webhook_runner.process.notify import Notifier
from webhook_runner.process.workers.parent_broker import ParentBroker
from webhook_runner.process.workers.staff import Desk, Staff
from webhook_runner.settings import Settings
from webhook_runner.store.open_store import make_store
from webhook_runner.task.event import DaemonOnDefaults, DaemonStarted, Warned


def serve(reread: Callable[[], Loaded]) -> int:
    """Run the daemon of the configuration that ``reread`` answers. Returns the exit code.

    Raises:
        ConfigError: the configuration is wrong, or the directory of the queue file cannot be
            made; nothing was started.

    """
    loaded = reread()
    if loaded.state is not None:
        loaded.state.make()

    async def main() -> int:
        return await compose(loaded, reread).run()

    return run_in_loop(main())


class _Watching(NamedTuple):
    """Who sees what happens, and what they use."""

    redaction: Redaction
    sink: Sink
    metrics: MetricsObserver
    door: Door
    bell: Bell
    loss: Loss
    observer: Fanout


def compose(loaded: Loaded, reread: Callable[[], Loaded]) -> Daemon:
    """Wire every part by hand. Raises ConfigError."""
    settings, clock = loaded.settings, SystemClock()
    watching = _watching(settings, clock)
    observer, metrics, door = watching.observer, watching.metrics, watching.door
    store = _store(settings, clock, observer)
    recorded = store.state().kind != "none"
    if recorded:
        observer.join(Journal(store, clock))
    broker = _broker(settings, clock, observer, recorded=recorded)
    http = HttpDispatcher(settings.egress, client=settings.performance.http)
    extending = ExtendingDispatcher(http, load_extensions(settings.queues))
    adopt = adopter(watching.redaction, extending, metrics, door.adopt)
    adopt(settings)
    failing, store, dispatcher = armed(broker, store, extending)
    queues = Queues(
        settings, failing, store, dispatcher, observer, clock, dice(), task_id, http.configure
    )
    watch(metrics, broker, queues)
    control = _control(settings, queues, broker, store, observer, clock)
    bell, loss, sink = watching.bell, watching.loss, watching.sink
    desk = Desk(queues, store, control, door.events, metrics, sink, bell, clock)
    workforce = _workforce(settings, desk, broker, observer)
    parts = Parts(
        broker=failing,
        store=store,
        dispatcher=dispatcher,
        queues=queues,
        control=control,
        door=door,
        observer=observer,
        metrics=metrics,
        bell=bell,
        loss=loss,
        notifier=Notifier(),
        workforce=workforce,
    )
    _introduce(loaded, observer)
    return Daemon(settings, parts, reread, adopt)


def _watching(settings: Settings, clock: Clock) -> _Watching:
    redaction, sink = Redaction(), Sink(sys.stderr)
    atexit.register(sink.flush)  # the lines of the last turn of the loop
    log = LogObserver(configure(settings.log, sink, redaction), metadata=settings.log.metadata)
    metrics, door = MetricsObserver(__version__, settings.queues), Door(settings.api, clock)
    bell, loss = Bell(), Loss()
    observer = Fanout(log, metrics, door.events)
    observer.join(bell, bell.hears)
    observer.join(loss, loss.hears)
    return _Watching(redaction, sink, metrics, door, bell, loss, observer)


def _store(settings: Settings, clock: Clock, observer: Observer) -> Store:
    try:
        return make_store(store_address(settings), settings.store, clock, observer)
    except StoreError as error:
        raise ConfigError(str(error)) from error


def _broker(settings: Settings, clock: Clock, observer: Observer, *, recorded: bool) -> Room:
    if settings.queue_file:
        return EmbeddedBroker(settings.queue_file, clock, observer, recorded=recorded)
    if settings.processes > 1:
        return rabbit(ParentBroker, settings, clock, observer, deals=False)
    return rabbit(RabbitBroker, settings, clock, observer)


def _workforce(settings: Settings, desk: Desk, broker: Room, observer: Fanout) -> Workforce:
    if not isinstance(broker, ParentBroker):
        return Alone()
    staff = Staff(settings, desk, observer, task_id)
    broker.consuming, broker.waiting = staff.consuming, staff.scheduled
    desk.control.destinations.elsewhere = staff.standings
    observer.join(staff)
    return staff


def _control(
    settings: Settings, queues: Queues, broker: Room, store: Store, observer: Fanout, clock: Clock
) -> Control:
    shared = not settings.queue_file
    control = Control(task_id(), queues, broker, store, observer, clock, is_shared=shared)
    broker.attend(control.hearing)
    observer.join(control.fellows, control.fellows.hears)
    return control


def _introduce(loaded: Loaded, observer: Fanout) -> None:
    settings = loaded.settings
    if told := first_run(loaded):
        _invite(told, settings.log.format, observer)
    where = str(loaded.path) if loaded.path else "defaults (no configuration file)"
    server = ", ".join(clean(server) for server in settings.servers)
    queues = tuple(settings.queues)
    store, listen = clean(settings.store_url), settings.api.listen
    observer.notice(DaemonStarted(__version__, where, server, store, listen, queues))
    for warning in loaded.warnings:
        observer.notice(Warned(warning, warning))


def _invite(told: FirstRun, log_format: str, observer: Fanout) -> None:
    """Tell a person on a terminal in words, everybody else by a line of the log."""
    if sys.stderr.isatty() and log_format in {"auto", "console"}:
        sys.stderr.write(told.text() + "\n\n")
        sys.stderr.flush()
    else:
        observer.notice(
            DaemonOnDefaults(told.queue_file, told.tasks, told.trial, told.onward),
        )
