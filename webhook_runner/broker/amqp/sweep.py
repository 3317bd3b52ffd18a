"""Sweeps: finds what is overdue in closed slots, and what has found no queue but has one now."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from webhook_runner.broker.amqp.channel import Arrival, Channel, Outgoing
from webhook_runner.broker.amqp.hands import Hands, Source
from webhook_runner.broker.amqp.message import due_of, moved, queue_of
from webhook_runner.broker.amqp.session import Session
from webhook_runner.broker.amqp.topology import Topology, slot_key
from webhook_runner.policy.delay import Slot, Wheel

EVERY_SECONDS = 30.0
# Overdue ones are mostly in front: late landings and returns break the order.
LOOK_THROUGH = 200
PREFETCH = LOOK_THROUGH + 56
# A queue that looks as it did when nothing overdue was in it is looked into again after this.
TRUST_SECONDS = 300.0
# A slot that opens so soon is looked after by being opened. While nothing has happened, one lap of
# the finest ring is soon: to be looked at is to be delivered, which ends a task's short way.
OPENS_SOON_SECONDS = 2.0
CLOCK_STEP_SECONDS = 0.2
_QUIET_SECONDS = 0.2
# So often quiet with messages left: the executor holds all that the prefetch allows.
_PATIENCE = 50


@dataclass(slots=True)
class Look:
    """One pass over the head of a queue that held ``limit`` messages."""

    source: Source
    kept: list[Arrival] = field(default_factory=list)
    seen: int = 0
    taken: int = 0
    limit: int = 0
    stir: asyncio.Event = field(default_factory=asyncio.Event)


class Sweeper:
    """``levels`` is what there is to sweep; ``waiting`` counts messages per level."""

    def __init__(
        self,
        session: Session,
        policy: Wheel,
        hands: Hands,
        is_open: Callable[[int, int], bool],
    ) -> None:
        self._session = session
        self._policy = policy
        self._hands = hands
        self._is_open = is_open
        self._clock = session.around.clock
        self._channel: Channel | None = None
        self._one = asyncio.Lock()
        self._trusted: dict[str, tuple[int, float]] = {}
        self.levels: frozenset[int] = frozenset()
        self._swept: frozenset[int] = frozenset()
        self.waiting: dict[int, int] = {}

    @property
    def _topology(self) -> Topology:
        return self._session.around.topology

    @property
    def _known(self) -> frozenset[str]:
        topology = self._topology
        return frozenset(
            name
            for queue in topology.queues
            for name in (queue, topology.dead(queue), topology.invalid(queue))
        )

    def channels(self) -> tuple[Channel, ...]:
        return () if self._channel is None else (self._channel,)

    async def run(self, discover: Callable[[], Awaitable[None]]) -> None:
        """Sweep now, every 30 s, and when the wall clock has been set. Raises LostError."""
        soon = OPENS_SOON_SECONDS
        while True:
            # Read before: the clock may be set in the middle of a sweep too.
            offset = self._offset()
            await self._everything(soon)
            was_set = await self._until_next(offset)
            soon = OPENS_SOON_SECONDS if was_set else self._policy.lap
            await discover()

    async def sweep(self, level: int, position: int) -> None:
        """Hand over what is overdue in one closed slot. Raises LostError."""
        queue = self._topology.slot(level, position).name
        slot = self._nearest(level, position)
        async with self._one:
            ready = await self._session.declarer.count(queue)
            if ready and not self._is_open(level, position):
                await self._look(queue, Look(Source(slot, closed=True), limit=ready), self._judge)

    async def _everything(self, soon: float) -> None:
        """Look into every slot, but for those that open within so many seconds."""
        # All are counted first: what is parked from now on is not for this sweep to look at.
        found = {level: await self._counted(level) for level in sorted(self.levels)}
        for level, counts in found.items():
            self.waiting[level] = sum(counts)
            for position, ready in enumerate(counts):
                await self._maybe(level, position, ready, soon)
        async with self._one:
            queue = self._topology.unrouted
            if self._swept != self.levels:
                self._swept = self.levels  # what waited for one of them has a home now
                self._trusted.pop(queue, None)
            ready = await self._session.declarer.count(queue) or 0
            if self._is_news(queue, ready):
                # Without the limit, what comes straight back would go round and round.
                look = Look(Source(Slot(0, 0), closed=True), limit=ready)
                await self._look(queue, look, self._reroute)
                if not look.taken:
                    self._trust(queue, ready)

    async def _counted(self, level: int) -> list[int]:
        slots = self._topology.level(level)
        return [await self._session.declarer.count(slot.name) or 0 for slot in slots]

    async def _maybe(self, level: int, position: int, ready: int, soon: float) -> None:
        """Look into a slot that held ``ready`` messages, if anything speaks for it."""
        queue = self._topology.slot(level, position).name
        slot = self._nearest(level, position)
        opens = 0 <= self._policy.opens_at(slot) - self._clock.now() < soon
        if opens or self._is_open(level, position) or not self._is_news(queue, ready):
            return
        look = Look(Source(slot, closed=True), limit=ready)
        async with self._one:
            await self._look(queue, look, self._judge)
        if not look.taken:
            self._trust(queue, ready)

    async def _look(self, queue: str, look: Look, judge: Callable[[Look, Arrival], None]) -> None:
        channel = await self._own_channel()
        tag = f"{queue}-sweep-{uuid4().hex}"

        def receive(arrival: Arrival) -> None:
            look.seen += 1
            look.stir.set()
            judge(look, arrival)

        most = max(1, int(self._session.around.settings.wheel_memory_bytes / self._hands.largest))
        await channel.consume(queue, tag, min(PREFETCH, most, look.limit), receive)
        try:
            await self._until_enough(queue, look)
        finally:
            await channel.cancel(tag)
            for arrival in reversed(look.kept):
                channel.release(arrival.tag)

    async def _until_enough(self, queue: str, look: Look) -> None:
        """Wait until the queue is drained, or enough was seen that is not overdue."""
        quiet = 0
        while len(look.kept) <= LOOK_THROUGH and look.seen < look.limit and quiet < _PATIENCE:
            look.stir.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET_SECONDS):
                    await look.stir.wait()
                quiet = 0
                continue
            quiet += 1
            # No arrival for a while: drained, or the prefetch is full of what is under way.
            if not await self._session.declarer.count(queue):
                return

    def _judge(self, look: Look, arrival: Arrival) -> None:
        due = due_of(arrival)
        if due is not None and due > self._clock.now():
            look.kept.append(arrival)
        else:
            look.taken += 1
            self._hands.take(arrival, look.source)

    def _reroute(self, look: Look, arrival: Arrival) -> None:
        """Send a message that found no queue where it belongs, if that is ours again."""
        out = self._home(arrival)
        if out is None:
            look.kept.append(arrival)
        else:
            look.taken += 1
            self._hands.spawn(self._send(arrival, out))

    def _home(self, arrival: Arrival) -> Outgoing | None:
        """Build the publish that brings it where it was meant for; None when it has to stay."""
        topology = self._topology
        if arrival.exchange == topology.work and arrival.key in self._known:
            return moved(arrival, topology.work, arrival.key, {})
        due = due_of(arrival)
        if arrival.exchange != topology.wait or due is None or queue_of(arrival) not in self._known:
            return None
        slot = self._policy.place_next(due, self._clock.now())
        if slot.level not in self.levels:
            return None
        return moved(arrival, topology.wait, slot_key(slot.level, slot.position), {})

    async def _send(self, arrival: Arrival, out: Outgoing) -> None:
        await self._session.publish(out)
        arrival.channel.ack(arrival.tag)

    async def _own_channel(self) -> Channel:
        """Open one for all sweeps, never closed: the executor may hold what came by it."""
        if self._channel is None:
            self._channel = await self._session.channel("the sweeps")
        return self._channel

    async def _until_next(self, offset: float) -> bool:
        """Sleep until the next sweep is due, or the wall clock was set; whether that was it."""
        end = self._clock.monotonic() + EVERY_SECONDS
        while abs(self._offset() - offset) <= CLOCK_STEP_SECONDS:
            if self._clock.monotonic() >= end:
                return False
            await self._clock.sleep(min(1.0, EVERY_SECONDS))
        self._trusted.clear()
        return True

    def _offset(self) -> float:
        return self._clock.now() - self._clock.monotonic()

    def _nearest(self, level: int, position: int) -> Slot:
        """Find the slot of the coming lap that uses this queue."""
        index = self._policy.slot(level, self._clock.now()).index
        return Slot(level, index + (position - index) % self._policy.ring)

    def _is_news(self, queue: str, ready: int) -> bool:
        known, at = self._trusted.get(queue, (0, self._clock.monotonic()))
        return ready > 0 and (known != ready or self._clock.monotonic() - at > TRUST_SECONDS)

    def _trust(self, queue: str, ready: int) -> None:
        self._trusted[queue] = (ready, self._clock.monotonic())
