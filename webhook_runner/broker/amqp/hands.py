"""What happens to each message that leaves a slot: held, handed over, moved on or given back."""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from webhook_runner.broker.amqp.channel import Arrival, Outgoing
from webhook_runner.broker.amqp.faults import LostError
from webhook_runner.broker.amqp.message import ALONE, DOUBTFUL, delivery_of, due_of, moved, queue_of
from webhook_runner.broker.amqp.session import Session
from webhook_runner.broker.amqp.topology import slot_key
from webhook_runner.policy.delay import HandOver, Hold, Park, Slot, Wheel
from webhook_runner.ports import Consumer
from webhook_runner.task.progress import HANDED

# A longer sleep would not notice that the wall clock was set.
LONGEST_SLEEP = 1.0

ConsumerOf = Callable[[str], Consumer | None]


@dataclass(slots=True, eq=False)
class Source:
    """A consumed slot: what of it is unsettled here, but for what the executor has taken."""

    slot: Slot
    held: dict[int, "Item"] = field(default_factory=dict)
    returning: list["Item"] = field(default_factory=list)
    closed: bool = False


@dataclass(slots=True, eq=False)
class Item:
    arrival: Arrival
    source: Source
    due: float
    queue: str
    overdue: bool
    moving: bool = False


class Hands:
    """Decides on arrivals and carries it out. ``bytes`` counts the bodies that are held."""

    def __init__(self, session: Session, policy: Wheel, consumer_of: ConsumerOf) -> None:
        self._session = session
        self._policy = policy
        self._consumer_of = consumer_of
        self._clock = session.around.clock
        self._ours = session.around.topology.ours
        self._timers: list[tuple[float, int, Item]] = []
        self._number = count()
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.bytes = 0
        self.largest = 1.0

    def connect(
        self,
        prepare: Callable[[int], Coroutine[None, None, None]],
        landed: Callable[[Slot], Coroutine[None, None, None]],
        freed: Callable[[], None],
    ) -> None:
        """Name who declares levels, who cares for late landings, and who waits for bytes."""
        self._prepare, self._landed, self._freed = prepare, landed, freed

    def take(self, arrival: Arrival, source: Source) -> None:
        """Take charge of a message from a slot."""
        size = len(arrival.body)
        self.largest = max(size, self.largest * 0.999)
        due = due_of(arrival)
        if due is None or arrival.exchange not in self._ours:
            self.spawn(self._put_aside(arrival))
            return
        item = Item(arrival, source, due, queue_of(arrival), overdue=due <= self._clock.now())
        source.held[arrival.tag] = item
        self.bytes += size
        self._decide(item)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something that ends with the session."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def give_back(self, items: list[Item]) -> None:
        """Return messages to their queue, last first, so that their order stays."""
        for item in items:
            self._forget(item)
        self.spawn(self._release([item.arrival for item in reversed(items)]))

    def refuse(self, arrival: Arrival) -> None:
        """Return a message unseen."""
        self.spawn(self._release([arrival]))

    def drop_timers(self) -> None:
        """Hold nothing any more; the caller gives back what was held."""
        self._closed = True
        self._timers.clear()
        if self._alarm is not None:
            self._alarm.cancel()

    async def finish(self, seconds: float) -> None:
        """Wait for what is under way, for some seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))

    def cancel(self) -> None:
        self.drop_timers()
        for task in self._tasks:
            task.cancel()

    def _decide(self, item: Item) -> None:
        now = self._clock.now()
        match self._policy.arrive(item.due, now, handed=False):
            case HandOver():
                self._hand_over(item)
            case Hold(until):
                self._hold(item, until)
            case Park(slot):
                if self._policy.would_return(item.source.slot, item.due, now):
                    self._keep_or_return(item)
                else:
                    item.moving = True
                    self.spawn(self._park(item, slot))

    def _keep_or_return(self, item: Item) -> None:
        """Give back what belongs where it came from, as soon as that is not consumed any more."""
        if item.source.closed:
            self.give_back([item])
        else:
            item.source.returning.append(item)

    def _hold(self, item: Item, until: float) -> None:
        heapq.heappush(self._timers, (until, next(self._number), item))
        if self._timers[0][2] is item:
            self._arm()

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._timers:
            wait = min(max(self._timers[0][0] - self._clock.now(), 0.0), LONGEST_SLEEP)
            self._alarm = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        # Timers of the event loop fire up to 1.5 ms early: the clock decides, and it is set again.
        now = self._clock.now()
        while self._timers and self._timers[0][0] <= now:
            item = heapq.heappop(self._timers)[2]
            if item.arrival.tag in item.source.held:
                self._decide(item)
        self._arm()

    def _hand_over(self, item: Item) -> None:
        consumer = None if self._closed else self._consumer_of(item.queue)
        delivery = delivery_of(item.arrival, item.queue, ours=True)
        # Sweeps raise the count, so only that of the work queue tells a crash loop; a suspect of
        # one has to be counted there from the start.
        fresh = delivery.redeliveries == 0 and ALONE not in delivery.message.headers
        if consumer is not None and fresh and consumer.take_now(delivery):
            self._forget(item)
            return
        work = self._session.around.topology.work
        item.moving = True
        marks = {HANDED: 1}
        if item.overdue and delivery.redeliveries:
            # A process may have died with its request: sweeps return only what is not yet due.
            marks[DOUBTFUL] = 1
        self.spawn(self._move(item, moved(item.arrival, work, item.queue, marks)))

    async def _park(self, item: Item, slot: Slot) -> None:
        await self._prepare(slot.level)
        key = slot_key(slot.level, slot.position)
        await self._session.publish(
            moved(item.arrival, self._session.around.topology.wait, key, {})
        )
        await self._landed(slot)
        await self._ack(item)

    async def _move(self, item: Item, out: Outgoing) -> None:
        await self._session.publish(out)
        await self._ack(item)

    async def _ack(self, item: Item) -> None:
        item.arrival.channel.ack(item.arrival.tag)
        self._forget(item)

    async def _put_aside(self, arrival: Arrival) -> None:
        unrouted = self._session.around.topology.unrouted
        await self._session.publish(moved(arrival, unrouted, arrival.key, {}))
        arrival.channel.ack(arrival.tag)

    async def _release(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            arrival.channel.release(arrival.tag)

    def _forget(self, item: Item) -> None:
        if item.source.held.pop(item.arrival.tag, None) is not None:
            self.bytes -= len(item.arrival.body)
            self._freed()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LostError):
            self._session.fail(str(error))
        elif error is not None:
            self._session.fail(f"the wheel failed: {error!r}")
