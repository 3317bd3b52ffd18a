"""One process from start to end: parts started, signals obeyed, work drained, parts stopped."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from webhook_runner.api.health import Readiness
from webhook_runner.api.served import Door, Served
from webhook_runner.api.server import ApiServer
from webhook_runner.config.loader import Loaded
from webhook_runner.engine.control import Control
from webhook_runner.engine.queues import Queues
from webhook_runner.errors import (
    ConfigError,
    QueueFileError,
    StoreError,
    StoreUnavailableError,
    TopologyError,
)
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.ports import Broker, Dispatcher, Observer, Store
from webhook_runner.process.alone import Workforce
from webhook_runner.process.bell import Bell
from webhook_runner.process.loss import NO_BROKER, Loss
from webhook_runner.process.notify import Notifier
from webhook_runner.process.readiness import readiness, status
from webhook_runner.process.reload import applicable, changes
from webhook_runner.process.running import (
    HURRY_SECONDS,
    IDLE_LOOK_SECONDS,
    OK,
    TOPOLOGY_WRONG,
    follow,
    until_stopped,
)
from webhook_runner.settings import Settings
from webhook_runner.task.event import (
    ConfigRefused,
    ConfigReloaded,
    DaemonDraining,
    DaemonReady,
    DaemonStopped,
    Warned,
)

STATUS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a daemon is made of."""

    broker: Broker
    store: Store
    dispatcher: Dispatcher
    queues: Queues
    control: Control
    door: Door
    observer: Observer
    metrics: MetricsObserver
    bell: Bell
    loss: Loss
    notifier: Notifier
    workforce: Workforce


class Daemon:
    """Runs the parts. ``reread`` loads the configuration anew, ``adopt`` tells the edges of it."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        reread: Callable[[], Loaded],
        adopt: Callable[[Settings], None],
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._reread = reread
        self._adopt = adopt
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reload = asyncio.Event()
        self._pause_wanted = False
        self._turned = asyncio.Event()
        self._why = ""

    async def run(self) -> int:
        """Work until a signal says stop. Returns the exit code.

        Raises:
            ConfigError: the HTTP address cannot be had.

        """
        self._obey_signals()
        parts = self._parts
        api = ApiServer(self._settings.api.listen, self._served())
        loops = (
            self._parts.broker.run(),
            self._parts.store.run(),
            api.run(),
            self._announce(),
            follow(self._reload, self._apply_reload, parts.bell.rung),
            follow(self._turned, self._pause_or_resume, parts.bell.rung),
            follow(parts.bell.store_turned, parts.queues.heed_store, parts.bell.rung),
            follow(parts.queues.steering.turned, self._heed_steering, parts.bell.rung),
            parts.workforce.run(),
            parts.control.run(),
            follow(self._parts.loss.noticed, self._judge_loss, parts.bell.rung),
            self._parts.queues.start(),
            self._beat(),
        )
        running = {asyncio.create_task(loop) for loop in loops}
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await until_stopped(running, stopping)
            await self._drain()
            for part in running:
                if part.done():
                    part.result()  # what ended it while others drained
        except TopologyError as error:
            self._parts.observer.notice(Warned("topology", str(error)))
            return TOPOLOGY_WRONG
        except (QueueFileError, StoreError) as error:
            about = "store" if isinstance(error, StoreError) else "queue file"
            self._parts.observer.notice(Warned(about, str(error)))
            return error.code
        finally:
            for task in (*running, stopping):
                task.cancel()
            await asyncio.gather(*running, stopping, return_exceptions=True)
            await self._close()
        return NO_BROKER if self._why else OK

    def _served(self) -> Served:
        parts, intake = self._parts, self._parts.queues.intake
        return Served(self._readiness, parts.metrics.text, intake, parts.control, parts.door)

    async def _drain(self) -> None:
        parts, limit = self._parts, self._settings.shutdown_timeout
        parts.notifier.stopping("draining")
        parts.notifier.extend_timeout(limit + 10)
        parts.observer.notice(DaemonDraining(parts.queues.in_flight, limit, self._why))
        deadline = asyncio.get_running_loop().call_later(limit, self._hurry.set)
        idle = asyncio.create_task(self._hurry_when_idle())
        interrupted = await parts.workforce.drain(self._hurry)
        interrupted += await parts.queues.drain(self._hurry)
        deadline.cancel()
        idle.cancel()
        # A broker that does not answer takes back by itself what was not acknowledged.
        with suppress(TimeoutError):
            async with asyncio.timeout(HURRY_SECONDS if self._hurry.is_set() else limit + 5):
                await parts.queues.intake.finish()
                if parts.broker.state().connected:
                    await parts.control.leave()
                await parts.broker.drain()
        parts.observer.notice(DaemonStopped(interrupted))

    async def _close(self) -> None:
        await self._parts.dispatcher.close()
        # Whatever was acknowledged is written; a store in trouble must not hold the end up.
        with suppress(TimeoutError, StoreUnavailableError):
            async with asyncio.timeout(HURRY_SECONDS):
                await self._parts.store.close()

    async def _hurry_when_idle(self) -> None:
        """Without a broker only requests are waited for: what they led to cannot be kept."""
        while self._why and self._parts.queues.requests:  # noqa: ASYNC110 - for once in a life
            await asyncio.sleep(IDLE_LOOK_SECONDS)
        if self._why:
            self._hurry.set()

    async def _judge_loss(self) -> None:
        """End, if the settings of now say so, when the broker is lost."""
        wanted = self._settings.on_disconnect
        if wanted == "reconnect" or self._stop.is_set():
            return
        self._why = f'the broker is lost and on_disconnect = "{wanted}": {self._parts.loss.error}'
        if wanted == "abort_exit":
            self._hurry.set()
        self._parts.queues.intake.close("the daemon has lost its broker")
        self._stop.set()

    async def _announce(self) -> None:
        """Tell when everything is consumed, and again after it was not."""
        parts, was_ready = self._parts, False
        while True:
            parts.bell.rung.clear()
            is_ready = self._readiness().ready
            line = status(parts.broker.state(), parts.queues)
            if is_ready and not was_ready:
                parts.observer.notice(DaemonReady())
                parts.notifier.ready(line)
            else:
                parts.notifier.status(line)
            was_ready = is_ready
            await parts.bell.rung.wait()

    async def _beat(self) -> None:
        """Tell systemd that the event loop turns, and how it goes."""
        parts = self._parts
        while True:
            if parts.notifier.watchdog_seconds is not None:
                parts.notifier.ping()
            parts.notifier.status(status(parts.broker.state(), parts.queues))
            await asyncio.sleep(parts.notifier.watchdog_seconds or STATUS_SECONDS)

    async def _apply_reload(self) -> None:
        """Take over a new configuration whole, or refuse it whole."""
        parts = self._parts
        parts.notifier.reloading()
        try:
            wanted = self._reread().settings
            changed, need_restart = changes(self._settings, wanted)
            settings = applicable(self._settings, wanted)
            self._adopt(settings)
        except ConfigError as error:
            parts.observer.notice(ConfigRefused(error.problems))
        else:
            self._settings = settings
            await parts.queues.reconfigure(settings)
            parts.workforce.adopt(settings)
            parts.observer.notice(ConfigReloaded(changed, need_restart))
        parts.notifier.ready(status(parts.broker.state(), parts.queues))

    def _readiness(self) -> Readiness:
        parts = self._parts
        state, stored = parts.broker.state(), parts.store.state()
        others = parts.workforce.troubles()
        return readiness(state, stored, parts.queues, others, draining=self._stop.is_set())

    def _obey_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        for number in (signal.SIGTSTP, signal.SIGUSR1):
            loop.add_signal_handler(number, self._turn, True)
        for number in (signal.SIGCONT, signal.SIGUSR2):
            loop.add_signal_handler(number, self._turn, False)

    def _turn(self, pause: bool) -> None:  # noqa: FBT001 - handed on by position
        self._pause_wanted = pause
        self._turned.set()

    async def _pause_or_resume(self) -> None:
        queues = self._parts.queues
        self._parts.workforce.pause(paused=self._pause_wanted)
        await (queues.pause() if self._pause_wanted else queues.resume())

    async def _heed_steering(self) -> None:
        await self._parts.queues.heed_steering()
        self._parts.workforce.divide()

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._parts.queues.intake.close("the daemon is stopping")
        self._stop.set()
