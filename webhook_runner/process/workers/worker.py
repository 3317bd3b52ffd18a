"""A worker from start to end: parts started, the parent obeyed, work drained, parts stopped."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from webhook_runner.engine.control import Control
from webhook_runner.engine.queues import Queues
from webhook_runner.errors import ConfigError, StoreUnavailableError, TopologyError
from webhook_runner.ports import Broker, Dispatcher, Observer, Store
from webhook_runner.process.bell import Bell
from webhook_runner.process.running import (
    HURRY_SECONDS,
    IDLE_LOOK_SECONDS,
    OK,
    TOPOLOGY_WRONG,
    follow,
    until_stopped,
)
from webhook_runner.process.workers.allotment import divided
from webhook_runner.process.workers.line import Line
from webhook_runner.process.workers.relay import LogLines, Newsroom, Reporter
from webhook_runner.process.workers.remote_store import RemoteStore
from webhook_runner.process.workers.settings_text import read
from webhook_runner.process.workers.wire import (
    Adopt,
    Answer,
    Begin,
    Destinations,
    Kept,
    Leaves,
    Listen,
    Look,
    Pause,
    Portions,
    Stop,
    StoreStands,
    ToWorker,
    Unanswered,
)
from webhook_runner.settings import QueueSettings, Settings
from webhook_runner.task.event import Warned

AtOnce = StoreStands | Kept | Answer | Unanswered


@dataclass(slots=True)
class Divided:
    """What this worker has of each queue, by the word of the parent."""

    told: Portions

    def divide(self, name: str, queue: QueueSettings) -> QueueSettings:
        """Return the settings of a queue with no more than that of its limits."""
        return divided(queue, self.told.queues.get(name))


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is made of. ``remote`` is what ``store`` asks in the end."""

    line: Line[ToWorker]
    broker: Broker
    store: Store
    dispatcher: Dispatcher
    remote: RemoteStore
    queues: Queues
    control: Control
    observer: Observer
    bell: Bell
    reporter: Reporter
    newsroom: Newsroom
    log: LogLines
    divided: Divided
    adopt: Callable[[Settings], None]


class Worker:
    """Runs the parts. ``take`` is told what comes from the parent."""

    def __init__(self, settings: Settings, begin: Begin, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._orders: asyncio.Queue[ToWorker] = asyncio.Queue()
        self._orders.put_nowait(Pause(begin.paused))
        self._orders.put_nowait(Listen(begin.listening))

    def take(self, message: ToWorker) -> None:
        """Take a word of the parent; what has to wait is done in the order of its coming."""
        if isinstance(message, AtOnce):
            self._parts.remote.take(message)
        elif isinstance(message, Look):
            standings = list(self._parts.queues.destinations.standings())
            self._parts.line.send(Destinations(message.number, standings))
        elif isinstance(message, Stop):
            self._asked_to_stop(hurry=message.hurry)
        else:
            self._orders.put_nowait(message)

    async def run(self) -> int:
        """Work until told to stop, or until the parent is gone. Returns the exit code."""
        self._obey_signals()
        parts = self._parts
        loops = (
            parts.broker.run(),
            parts.control.run(),
            parts.queues.start(),
            self._obey(),
            self._outlive(),
            parts.reporter.run(),
            follow(parts.bell.store_turned, parts.queues.heed_store, parts.bell.rung),
            follow(parts.queues.steering.turned, parts.queues.heed_steering, parts.bell.rung),
        )
        running = {asyncio.create_task(loop) for loop in loops}
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await until_stopped(running, stopping)
            await self._drain()
        except TopologyError as error:
            parts.observer.notice(Warned("topology", str(error)))
            return TOPOLOGY_WRONG
        finally:
            for task in (*running, stopping):
                task.cancel()
            await asyncio.gather(*running, stopping, return_exceptions=True)
            await self._close()
        return OK

    async def _drain(self) -> None:
        parts, limit = self._parts, self._settings.shutdown_timeout
        deadline = asyncio.get_running_loop().call_later(limit, self._hurry.set)
        interrupted = await parts.queues.drain(self._hurry)
        deadline.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(HURRY_SECONDS if self._hurry.is_set() else limit + 5):
                if parts.broker.state().connected:
                    await parts.control.leave()
                await parts.broker.drain()
        parts.line.send(Leaves(interrupted))

    async def _close(self) -> None:
        parts = self._parts
        await parts.dispatcher.close()
        with suppress(TimeoutError, StoreUnavailableError):
            async with asyncio.timeout(HURRY_SECONDS):
                await parts.store.close()
        parts.log.send()
        parts.reporter.tell_totals()
        await parts.line.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(HURRY_SECONDS):
                await parts.line.lost.wait()

    async def _outlive(self) -> None:
        """End when the parent has: what can still be settled is, what runs may finish."""
        parts = self._parts
        await parts.line.lost.wait()
        parts.remote.lose()
        self._stop.set()
        # Nothing can be recorded any more: only requests are waited for, not what they lead to.
        while parts.store.state().trouble and parts.queues.requests:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(IDLE_LOOK_SECONDS)
        if parts.store.state().trouble:
            self._hurry.set()

    async def _obey(self) -> None:
        while True:
            await self._carry_out(await self._orders.get())
            self._parts.bell.rung.set()

    async def _carry_out(self, order: ToWorker) -> None:
        queues = self._parts.queues
        match order:
            case Adopt(settings, portions):
                self._parts.divided.told = portions
                await self._adopt(read(settings))
            case Portions():
                self._parts.divided.told = order
                await queues.heed_portions()
            case Pause(paused):
                await (queues.pause() if paused else queues.resume())
            case Listen(listening):
                self._parts.newsroom.listen(listening=listening)
            case _:
                return

    async def _adopt(self, settings: Settings) -> None:
        try:
            self._parts.adopt(settings)
        except ConfigError as error:
            # The parent took it: it differs here by a moment only.
            self._parts.observer.notice(Warned("reload", str(error)))
        self._settings = settings
        await self._parts.queues.reconfigure(settings)

    def _obey_signals(self) -> None:
        loop = asyncio.get_running_loop()
        # A terminal and some service managers signal all processes, the parent as well.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        self._asked_to_stop(hurry=self._stop.is_set())

    def _asked_to_stop(self, *, hurry: bool) -> None:
        if hurry:
            self._hurry.set()
        self._stop.set()
