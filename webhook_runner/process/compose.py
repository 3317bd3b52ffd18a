"""Settings become a daemon: the only module that names implementations."""

import asyncio
import atexit
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from webhook_runner import __version__
from webhook_runner.api.credentials import token_in
from webhook_runner.api.served import Door
from webhook_runner.broker.embedded import EmbeddedBroker
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.config.first_run import FirstRun, first_run
from webhook_runner.config.loader import Loaded
from webhook_runner.config.secrets import password_in, store_address
from webhook_runner.dispatch.extend import ExtendingDispatcher
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.engine.control import Control, Room
from webhook_runner.engine.journal import Journal
from webhook_runner.engine.queues import Queues
from webhook_runner.errors import ConfigError, StoreError
from webhook_runner.observe.fanout import Fanout
from webhook_runner.observe.gauges import LOOP_TASKS, SCHEDULED
from webhook_runner.observe.log import LogObserver, configure
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.observe.redact import Redaction, clean
from webhook_runner.observe.sink import Sink
from webhook_runner.ports import Broker, Clock, Dispatcher, Observer, Store
from webhook_runner.process.clock import SystemClock, dice, task_id
from webhook_runner.process.daemon import Daemon, Parts
from webhook_runner.process.extensions import load_extensions
from webhook_runner.process.failpoints import (
    FailingBroker,
    FailingDispatcher,
    FailingStore,
    Failpoints,
)
from webhook_runner.process.loss import Loss
from webhook_runner.process.notify import Notifier
from webhook_runner.process.readiness import Bell
from webhook_runner.settings import Settings
from webhook_runner.store.open_store import make_store
from webhook_runner.task.event import DaemonOnDefaults, DaemonStarted, Warned

_BETWEEN_COLLECTIONS = 20_000


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

    return _run(main())


def compose(loaded: Loaded, reread: Callable[[], Loaded]) -> Daemon:
    """Wire every part by hand. Raises ConfigError."""
    settings, clock, bell, loss = loaded.settings, SystemClock(), Bell(), Loss()
    redaction = Redaction()
    log = _log(settings, redaction)
    metrics = MetricsObserver(__version__, settings.queues)
    door = Door(settings.api, clock)
    observer = _observers(log, metrics, bell, loss, door)
    store = _store(settings, clock, observer)
    recorded = store.state().kind != "none"
    if recorded:
        observer.join(Journal(store, clock))
    broker = _broker(settings, clock, observer, recorded=recorded)
    http = HttpDispatcher(settings.egress, client=settings.performance.http)
    extending = ExtendingDispatcher(http, load_extensions(settings.queues))

    metrics.watch(*SCHEDULED, broker.scheduled)
    metrics.watch(*LOOP_TASKS, lambda: len(asyncio.all_tasks()))
    adopt = _adopter(redaction, extending, door, metrics)
    adopt(settings)
    armed, store, dispatcher = _armed(broker, store, extending)
    queues = Queues(
        settings, armed, store, dispatcher, observer, clock, dice(), task_id, http.configure
    )
    metrics.watch_destinations(queues.destinations.counts)
    control = _control(settings, queues, broker, store, observer, clock)
    parts = Parts(
        armed, store, dispatcher, queues, control, door, observer, metrics, bell, loss, Notifier()
    )
    _introduce(loaded, observer)
    return Daemon(settings, parts, reread, adopt)


def _log(settings: Settings, redaction: Redaction) -> LogObserver:
    sink = Sink(sys.stderr)
    atexit.register(sink.flush)  # the lines of the last turn of the loop
    return LogObserver(configure(settings.log, sink, redaction), metadata=settings.log.metadata)


def _observers(
    log: LogObserver, metrics: MetricsObserver, bell: Bell, loss: Loss, door: Door
) -> Fanout:
    observer = Fanout(log, metrics, door.events)
    observer.join(bell, bell.hears)
    observer.join(loss, loss.hears)
    return observer


def _adopter(
    redaction: Redaction, extending: ExtendingDispatcher, door: Door, metrics: MetricsObserver
) -> Callable[[Settings], None]:
    """Return what tells the edges of settings; it raises ConfigError."""

    def adopt(fresh: Settings) -> None:
        _hide_secrets(fresh, redaction)
        extending.adopt(load_extensions(fresh.queues))
        door.adopt(fresh.api)
        metrics.set_queues(fresh.queues)

    return adopt


def _store(settings: Settings, clock: Clock, observer: Observer) -> Store:
    try:
        return make_store(store_address(settings), settings.store, clock, observer)
    except StoreError as error:
        raise ConfigError(str(error)) from error


def _broker(settings: Settings, clock: Clock, observer: Observer, *, recorded: bool) -> Room:
    if settings.queue_file:
        return EmbeddedBroker(settings.queue_file, clock, observer, recorded=recorded)
    queues = tuple(settings.queues)
    stack = settings.performance.amqp
    return RabbitBroker(settings.broker, settings.servers, queues, clock, observer, stack=stack)


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


def _hide_secrets(settings: Settings, redaction: Redaction) -> None:
    """Register what must never show in a line, wherever it may turn up."""
    for url in (*settings.servers, settings.store_url):
        redaction.register_secret(password_in(url))
        redaction.register_secret(unquote(password_in(url)))
    for file in (settings.broker.password_file, settings.store.password_file):
        with suppress(OSError, ValueError):
            redaction.register_secret(Path(file).read_text().strip() if file else "")
    for token in settings.api.tokens:
        with suppress(ConfigError):
            redaction.register_secret(token_in(token))
    for queue in settings.queues.values():
        for value in queue.headers.values():
            redaction.register_secret(value)


def _armed(
    broker: Broker, store: Store, dispatcher: Dispatcher
) -> tuple[Broker, Store, Dispatcher]:
    text = os.environ.get("WEBHOOK_RUNNER_FAILPOINTS", "")
    if not text:
        return broker, store, dispatcher
    points = Failpoints.parse(text)
    failing = FailingBroker(broker, points), FailingStore(store, points)
    return *failing, FailingDispatcher(dispatcher, points)


def _run(main: Coroutine[Any, Any, int]) -> int:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if importlib.util.find_spec("uvloop"):
        factory = importlib.import_module("uvloop").new_event_loop
    # What is there by now stays: no collection need look at it again. Tasks leave few cycles.
    gc.freeze()
    gc.set_threshold(_BETWEEN_COLLECTIONS, 50, 100)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
