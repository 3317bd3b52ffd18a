"""Turns the delay wheel: opens and closes slots by the clock, within a budget of bytes."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.deletion import when_deleted
from webhook_runner.broker.amqp.faults import LostError
from webhook_runner.broker.amqp.hands import LONGEST_SLEEP, ConsumerOf, Hands, Source
from webhook_runner.broker.amqp.session import Session
from webhook_runner.broker.amqp.sweep import Sweeper
from webhook_runner.policy.delay import Slot, Wheel

PREFETCH_FINEST = 20_000
# Few, because what moves down must not stand in the way of what is due: 5 000 made that 2 s late.
PREFETCH_ABOVE = 128
FLUSH_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class OpenSlot:
    """A slot that is due to be consumed; without a tag it is closed for want of memory."""

    source: Source
    queue: str
    tag: str = ""
    prefetch: int = 0
    suspended: bool = False


class WheelDriver:
    """The wheel of one session. ``prepare`` and ``landed`` are for whoever parks."""

    def __init__(self, session: Session, policy: Wheel, consumer_of: ConsumerOf) -> None:
        around = session.around
        self._session = session
        self._policy = policy
        self._clock = around.clock
        self._budget = around.settings.wheel_memory_bytes
        self._topology = around.topology
        self._hands = Hands(session, policy, consumer_of)
        self._hands.connect(self.prepare, self.landed, self._freed)
        self._sweeper = Sweeper(session, policy, self._hands, self._is_open)
        self._open: dict[Slot, OpenSlot] = {}
        self._channels: dict[int, Channel] = {}
        self._levels: set[int] = set()
        self._declaring = asyncio.Lock()
        self._turning = asyncio.Lock()
        self._wake = asyncio.Event()
        self._closed = False
        self._sweeping: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Turn until cancelled or closed. Raises LostError and TopologyError."""
        await self._discover()
        self._sweeping = sweeping = asyncio.create_task(self._sweeper.run(self._discover))
        try:
            while not self._closed:
                await self._turn()
                if sweeping.done():
                    sweeping.result()
                await self._sleep()
        finally:
            sweeping.cancel()
            if not self._closed:  # else what moves on is waited for: half a move is two copies
                self._hands.cancel()

    def scheduled(self) -> int:
        return sum(self._sweeper.waiting.values())

    def held_bytes(self) -> int:
        return self._hands.bytes

    async def prepare(self, level: int) -> None:
        """Make the queues of ``level`` be there. Raises LostError and TopologyError."""
        if level in self._levels:
            return
        async with self._declaring:
            if level not in self._levels:
                await self._session.declarer.level(level)
                self._levels.add(level)
                self._wake.set()

    async def landed(self, slot: Slot) -> None:
        """Look after a message whose confirm has come: its slot may have closed meanwhile."""
        if self._clock.now() >= self._policy.closes_at(slot) and slot not in self._open:
            with suppress(LostError):
                await self._sweeper.sweep(slot.level, slot.position)

    async def close(self) -> None:
        """Close every slot and give back all that waits. Raises LostError."""
        self._closed = True
        self._hands.drop_timers()
        try:
            if self._sweeping is not None:
                self._sweeping.cancel()
                await asyncio.wait((self._sweeping,), timeout=FLUSH_SECONDS)
            async with self._turning:
                for slot in list(self._open.values()):
                    await self._shut(slot, whole=True)
            await self._hands.finish(FLUSH_SECONDS)
            for channel in (*self._channels.values(), *self._sweeper.channels()):
                await channel.flush()
        finally:
            self._hands.cancel()

    async def _discover(self) -> None:
        """Find the levels that anybody has declared."""
        for level in range(len(self._policy.levels)):
            if level not in self._levels:
                last = self._topology.level(level)[-1]
                if await self._session.declarer.count(last.name) is not None:
                    self._levels.add(level)
        self._sweeper.levels = frozenset(self._levels)
        self._wake.set()

    async def _turn(self) -> None:
        async with self._turning:
            now = self._clock.now()
            wanted = {slot for slot in self._policy.open_slots(now) if slot.level in self._levels}
            for slot in sorted(wanted - self._open.keys(), key=self._policy.opens_at):
                await self._begin(slot)
            for slot, each in list(self._open.items()):
                if slot not in wanted:
                    await self._end(each, now)
                elif each.suspended:
                    await self._resume(each)

    async def _sleep(self) -> None:
        now = self._clock.now()
        wait = min(max(self._policy.next_change(now) - now, 0.001), LONGEST_SLEEP)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake.wait()
        self._wake.clear()

    async def _begin(self, slot: Slot) -> None:
        queue = self._topology.slot(slot.level, slot.position)
        if await self._session.declarer.count(queue.name) is None:
            await self._session.declarer.queues((queue,))
        self._open[slot] = each = OpenSlot(Source(slot), queue.name)
        await self._consume(each)

    async def _consume(self, each: OpenSlot) -> None:
        level = each.source.slot.level
        if level not in self._channels:
            self._channels[level] = await self._session.channel(f"level {level} of the wheel")
            self._channels[level].on_cancel(self._cancelled)
        most = PREFETCH_ABOVE if level else PREFETCH_FINEST
        each.prefetch = max(1, min(most, int(self._budget / self._hands.largest)))
        each.suspended = False
        each.tag = f"{each.queue}-{uuid4().hex}"

        def receive(arrival: Arrival) -> None:
            self._receive(each, arrival)

        await self._channels[level].consume(each.queue, each.tag, each.prefetch, receive)

    async def _end(self, each: OpenSlot, now: float) -> None:
        """Close a slot when its time is over and it is drained, or its time is yet to come."""
        source = each.source
        if now < self._policy.opens_at(source.slot):
            await self._shut(each, whole=True)
            return
        if len(source.held) > len(source.returning):
            return
        left = await self._session.declarer.count(each.queue)
        # Nothing but tasks of the next lap can fill the prefetch; the sweep sees to the rest.
        if not left or len(source.returning) >= each.prefetch:
            await self._shut(each, whole=False)
        elif each.suspended:
            await self._resume(each)

    async def _shut(self, each: OpenSlot, *, whole: bool) -> None:
        """Stop consuming; give back what belongs to the next lap, or the ``whole`` of it."""
        self._open.pop(each.source.slot, None)
        await self._cancel(each)
        source = each.source
        source.closed = True
        back = source.returning
        if whole:
            back = [item for item in source.held.values() if not item.moving]
        source.returning = []
        if back:
            self._hands.give_back(back)

    async def _cancel(self, each: OpenSlot) -> None:
        tag, each.tag = each.tag, ""
        if tag:
            await self._channels[each.source.slot.level].cancel(tag)

    def _receive(self, each: OpenSlot, arrival: Arrival) -> None:
        if each.suspended and self._hands.bytes * 2 >= self._budget:
            self._hands.refuse(arrival)
            return
        self._hands.take(arrival, each.source)
        if self._hands.bytes > self._budget:
            self._suspend_newest()

    def _suspend_newest(self) -> None:
        consumed = [each for each in self._open.values() if each.tag and not each.suspended]
        if consumed:
            newest = max(consumed, key=lambda each: self._policy.opens_at(each.source.slot))
            newest.suspended = True
            self._hands.spawn(self._pause(newest))

    async def _pause(self, each: OpenSlot) -> None:
        async with self._turning:
            if each.suspended:
                await self._cancel(each)

    async def _resume(self, each: OpenSlot) -> None:
        if self._hands.bytes * 2 >= self._budget:
            return
        if each.tag:
            each.suspended = False
        else:
            await self._consume(each)

    def _freed(self) -> None:
        low = self._hands.bytes * 2 < self._budget
        if low and any(each.suspended for each in self._open.values()):
            self._wake.set()

    def _cancelled(self, tag: str) -> None:
        """Forget a slot whose queue was deleted, in a while: it is opened anew then."""
        for each in self._open.values():
            if each.tag == tag:
                each.tag = ""
                when_deleted(partial(self._forget, each))

    def _forget(self, each: OpenSlot) -> None:
        if self._open.get(each.source.slot) is each and not each.tag:
            del self._open[each.source.slot]
            self._wake.set()

    def _is_open(self, level: int, position: int) -> bool:
        return any(slot.level == level and slot.position == position for slot in self._open)
