"""What the parent says becomes a worker: the part of the composition root that runs in one."""

import asyncio
import signal
import socket
from typing import NamedTuple

from webhook_runner import __version__
from webhook_runner.api.events import EventHub
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.dispatch.extend import ExtendingDispatcher
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.engine.control import Control
from webhook_runner.engine.journal import Journal
from webhook_runner.engine.queues import Queues
from webhook_runner.observe.fanout import Fanout
from webhook_runner.observe.log import LogObserver
from webhook_runner.observe.logger import configure
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.observe.redact import Redaction
from webhook_runner.observe.tallies import counts
from webhook_runner.ports import Broker, Clock
from webhook_runner.process.bell import Bell
from webhook_runner.process.clock import SystemClock, dice, task_id
from webhook_runner.process.edges import adopter, rabbit, watch
from webhook_runner.process.extensions import load_extensions
from webhook_runner.process.failpoints import armed
from webhook_runner.process.loop import run_in_loop
from webhook_runner.process.workers.line import Line
from webhook_runner.process.workers.relay import LogLines, Newsroom, Ours, Reporter
from webhook_runner.process.workers.remote_store import RemoteStore
from webhook_runner.process.workers.settings_text import read
from webhook_runner.process.workers.wire import (
    TO_WORKER,
    Begin,
    QueueStands,
    Stands,
    StoreStands,
    Totals,
    ToWorker,
)
from webhook_runner.process.workers.worker import Divided, Parts, Worker
from webhook_runner.settings import Settings
from webhook_runner.store.nothing import NoStore


def work(descriptor: int) -> int:
    """Work for the parent at the other end of a socket. Returns the exit code."""
    # They are for the parent, who says what is to be done.
    for number in (signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    return run_in_loop(_work(socket.socket(fileno=descriptor)))


async def _work(end: socket.socket) -> int:
    post = _Post()
    line = Line(TO_WORKER, post.take)
    await line.open(end)
    lost = asyncio.ensure_future(line.lost.wait())
    await asyncio.wait((lost, post.begun), return_when=asyncio.FIRST_COMPLETED)
    lost.cancel()
    if not post.begun.done():
        return 0
    begin = post.begun.result()
    settings = read(begin.settings)
    worker = Worker(settings, begin, _compose(line, begin, settings))
    post.deliver_to(worker)
    return await worker.run()


class _Post:
    """Keeps what comes before there is a worker to take it."""

    def __init__(self) -> None:
        self.begun: asyncio.Future[Begin] = asyncio.get_running_loop().create_future()
        self._kept: list[ToWorker] = []
        self._worker: Worker | None = None

    def take(self, message: ToWorker) -> None:
        if isinstance(message, Begin):
            self.begun.set_result(message)
        elif self._worker is None:
            self._kept.append(message)
        else:
            self._worker.take(message)

    def deliver_to(self, worker: Worker) -> None:
        self._worker = worker
        for message in self._kept:
            worker.take(message)


class _Watching(NamedTuple):
    """Who sees what happens, and what they use."""

    redaction: Redaction
    log: LogLines
    metrics: MetricsObserver
    hub: EventHub
    bell: Bell
    observer: Fanout


def _watching(line: Line[ToWorker], number: int, settings: Settings, clock: Clock) -> _Watching:
    redaction, log, bell = Redaction(), LogLines(line), Bell()
    logger = configure(settings.log, log, redaction).bind(worker=number)
    metrics, hub = MetricsObserver(__version__, settings.queues), EventHub(clock.now)
    lines = LogObserver(logger, metadata=settings.log.metadata)
    observer = Fanout(Ours(lines), metrics, Ours(hub))
    observer.join(bell, bell.hears)
    return _Watching(redaction, log, metrics, hub, bell, observer)


def _compose(line: Line[ToWorker], begin: Begin, settings: Settings) -> Parts:
    clock = SystemClock()
    watching = _watching(line, begin.number, settings, clock)
    observer, bell, metrics = watching.observer, watching.bell, watching.metrics
    remote = _remote(line, begin.store, watching, clock)
    http = HttpDispatcher(settings.egress, client=settings.performance.http)
    extending = ExtendingDispatcher(http, load_extensions(settings.queues))
    adopt = adopter(watching.redaction, extending, metrics)
    adopt(settings)
    broker = rabbit(RabbitBroker, settings, clock, observer)
    asked = NoStore() if begin.store.kind == "none" else remote
    failing, store, sender = armed(broker, asked, extending)
    mine, make, set_size = Divided(begin.portions), task_id, http.configure
    queues = Queues(
        settings, failing, store, sender, observer, clock, dice(), make, set_size, mine.divide
    )
    control = Control(begin.name, queues, broker, store, observer, clock, is_shared=True)
    broker.attend(control.hearing)
    observer.join(control.fellows, control.fellows.hears)
    watch(metrics, broker, queues)
    reporter = Reporter(
        line, bell.rung, lambda: _stands(broker, queues, mine), lambda: _totals(metrics)
    )
    observer.join(reporter)
    return Parts(
        line=line,
        broker=failing,
        store=store,
        dispatcher=sender,
        remote=remote,
        queues=queues,
        control=control,
        observer=observer,
        bell=bell,
        reporter=reporter,
        newsroom=Newsroom(watching.hub, line),
        log=watching.log,
        divided=mine,
        adopt=adopt,
    )


def _remote(
    line: Line[ToWorker], stands: StoreStands, watching: _Watching, clock: Clock
) -> RemoteStore:
    remote = RemoteStore(line, stands, watching.observer, watching.bell.store_turned.set)
    if stands.kind != "none":
        watching.observer.join(Journal(remote, clock))
    return remote


def _totals(metrics: MetricsObserver) -> Totals:
    metrics.look()
    return Totals(counts(metrics.registry))


def _stands(broker: Broker, queues: Queues, mine: Divided) -> Stands:
    state = broker.state()
    return Stands(
        mine.told.version,
        state.connected,
        state.blocked,
        broker.scheduled(),
        {
            name: QueueStands(
                consumer.condition(consumed=name in state.consuming),
                consumer.lane.gate.used,
                consumer.lane.lag,
            )
            for name, consumer in queues.consumers.items()
        },
    )
