"""Take the deliveries of one queue, bounded by its prefetch; drain on stop."""

import asyncio
from contextlib import suppress
from enum import StrEnum

from webhook_runner.engine.executor import Executor
from webhook_runner.engine.lane import Lane
from webhook_runner.engine.limits import DRY
from webhook_runner.policy.rate import prefetch
from webhook_runner.ports import Broker, Clock, Delivery
from webhook_runner.settings import QueueSettings


class Hold(StrEnum):
    """Why a queue is not to be consumed for now; any of these does it, whatever the others say."""

    PAUSED = "paused"
    STEERED = "paused by request"
    STORE = "store"
    ELSEWHERE = "other workers"


class QueueConsumer:
    """One queue's deliveries become tasks of this process. Implements ports.Consumer.

    The queue is consumed while it is wanted: not while held, nor while its next token is more
    than ``DRY`` seconds away, so that no delivery waits here unacknowledged for that long.
    """

    def __init__(self, lane: Lane, executor: Executor, broker: Broker, clock: Clock) -> None:
        self.lane = lane
        self._executor = executor
        self._broker = broker
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake: asyncio.Task[None] | None = None
        self._held: set[Hold] = set()
        self._stopped = False
        lane.gate.on_dry = self.rest

    @property
    def is_taking(self) -> bool:
        return not (self._held or self._stopped)

    @property
    def is_busy(self) -> bool:
        """Whether anything that was taken is not settled yet."""
        return bool(self._tasks)

    def is_held(self, why: Hold) -> bool:
        return why in self._held

    def hold_back(self, why: Hold = Hold.PAUSED) -> None:
        """Begin held."""
        self._held.add(why)
        self.lane.gate.close()

    def condition(self, *, consumed: bool) -> str:
        """Say in a word or two how it stands, given whether the broker hands over its queue."""
        if self._held:
            return str(min(self._held))
        if self._wake is not None:
            return "resting"
        return "ok" if consumed else "not consumed"

    def receive(self, delivery: Delivery) -> None:
        self._spawn(delivery, entered=False)

    def take_now(self, delivery: Delivery) -> bool:
        entered = self.is_taking and self.lane.gate.try_enter()
        if not entered and not self._may_wait():
            return False
        self._spawn(delivery, entered=entered)
        return True

    async def start(self) -> None:
        """Consume the queue, as far as its limits want it."""
        if not self.is_taking:
            return
        wait = self.lane.gate.wait()
        if wait > DRY:
            await self.rest(wait)
            return
        settings = self.lane.settings
        most = prefetch(settings.concurrency, settings.rate)
        await self._broker.consume(self.lane.name, self, most)

    async def rest(self, wait: float) -> None:
        """Fetch nothing more until the next token, ``wait`` seconds away, is near."""
        await self._broker.stop_consuming(self.lane.name)
        if self._wake is not None:
            self._wake.cancel()
        if self.is_taking:
            # Look again before long: a token may be given back.
            self._wake = asyncio.create_task(self._start_later(min(wait - DRY, DRY)))

    async def reconfigure(self, settings: QueueSettings, base_url: str) -> None:
        self.lane.reconfigure(settings, base_url)
        await self.start()

    async def pause(self, why: Hold = Hold.PAUSED) -> None:
        """Take nothing new; what runs goes on, what waits is given back."""
        self._held.add(why)
        await self._close()

    async def resume(self, why: Hold = Hold.PAUSED) -> None:
        """Take again, unless there is another reason not to."""
        self._held.discard(why)
        if self.is_taking:
            self.lane.gate.open()
            await self.start()

    async def stop(self) -> None:
        """Take nothing new for good."""
        self._stopped = True
        if self._wake is not None:
            self._wake.cancel()
        await self._close()

    async def drained(self) -> None:
        """Wait until everything that was taken is settled."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def interrupt(self) -> int:
        """Cut off what still runs; how many attempts that were. Settlements are let finish."""
        cut = self._tasks - self._executor.inflight.settling
        for task in cut:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self.drained()
        for task in self._tasks:
            task.cancel()
        return len(cut)

    async def _close(self) -> None:
        # Given back while still consumed, a message would come straight back, and be counted.
        self.lane.gate.hold()
        await self._broker.stop_consuming(self.lane.name)
        if self.is_taking:
            self.lane.gate.open()
        else:
            self.lane.gate.close()

    def _may_wait(self) -> bool:
        """Tell whether one more may wait for a slot, besides all that its queue may fetch."""
        settings = self.lane.settings
        room = prefetch(settings.concurrency, settings.rate) + settings.concurrency
        return self.is_taking and self.lane.gate.wait() <= 0 and len(self._tasks) < room

    def _spawn(self, delivery: Delivery, *, entered: bool) -> None:
        task = asyncio.create_task(self._executor.execute(delivery, entered=entered))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start_later(self, wait: float) -> None:
        await self._clock.sleep(max(wait, 0.0))
        self._wake = None
        await self.start()
