"""The Broker port in memory: what the engine's journeys are tested on."""

import asyncio
import heapq
from collections import deque
from dataclasses import dataclass, field, replace

from tests.fakes.clock import FakeClock
from webhook_runner.ports import BrokerState, Clock, Consumer, Delivery
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.progress import progress_headers


@dataclass(slots=True, eq=False)
class Stored:
    """One message at rest; ``deliveries`` counts hand-overs that were not settled."""

    queue: str
    message: Message
    deliveries: int = 0


@dataclass(slots=True, eq=False)
class Subscription:
    consumer: Consumer
    prefetch: int
    unsettled: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Handle:
    session: int
    stored: Stored


class MemoryBroker:
    """Implements ports.Broker; also shows its queues and loses its connection on demand."""

    def __init__(self, clock: Clock | FakeClock, *, counts: bool = True) -> None:
        self._clock = clock
        self._counts = counts
        self._session = 1
        self._ready: dict[str, deque[Stored]] = {}
        self._unsettled: dict[int, Stored] = {}
        self._waiting: list[tuple[float, int, Envelope]] = []
        self._subscriptions: dict[str, Subscription] = {}
        self._serial = 0
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.dead: list[tuple[Envelope, bytes]] = []
        self.invalid: list[tuple[Delivery, str, str]] = []
        self.published: list[tuple[str, Envelope]] = []
        self.log: list[tuple[str, str]] = []  # every call that changes something, in order

    # -- what a test does to it

    def submit(self, queue: str, message: Message) -> None:
        """Publish as an application does."""
        self._ready.setdefault(queue, deque()).append(Stored(queue, message))
        self._deal(queue)

    def lose_connection(self) -> None:
        """Everything unsettled becomes ready again, at the front."""
        self._session += 1
        for stored in reversed(list(self._unsettled.values())):
            self._return(stored)
        self._unsettled.clear()
        for name, subscription in self._subscriptions.items():
            subscription.unsettled.clear()
            self._deal(name)

    def block(self, *, blocked: bool) -> None:
        (self._writable.clear if blocked else self._writable.set)()

    @property
    def waiting(self) -> list[Envelope]:
        return [envelope for _, _, envelope in sorted(self._waiting, key=lambda w: w[:2])]

    @property
    def unsettled(self) -> int:
        return len(self._unsettled)

    def ready(self, queue: str) -> int:
        return len(self._ready.get(queue, ()))

    # -- the port

    async def run(self) -> None:
        while True:
            self._hand_over()
            self._changed.clear()
            due = self._waiting[0][0] if self._waiting else None
            changed = asyncio.ensure_future(self._changed.wait())
            timer = asyncio.ensure_future(
                self._clock.sleep(3600.0 if due is None else max(due - self._clock.now(), 0.0))
            )
            try:
                await asyncio.wait((changed, timer), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                timer.cancel()

    async def serve(self, queues: tuple[str, ...]) -> None:
        for queue in queues:
            self._ready.setdefault(queue, deque())

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        old = self._subscriptions.get(queue)
        unsettled = old.unsettled if old else set()
        self._subscriptions[queue] = Subscription(consumer, prefetch, unsettled)
        self._deal(queue)

    async def stop_consuming(self, queue: str) -> None:
        self._subscriptions.pop(queue, None)

    async def enqueue(self, envelope: Envelope) -> None:
        await self._writable.wait()
        self.published.append(("work", envelope))
        self.log.append(("enqueue", envelope.task.id))
        self._enqueue(envelope)

    async def park(self, envelope: Envelope) -> None:
        await self._writable.wait()
        self.published.append(("wait", envelope))
        self.log.append(("park", envelope.task.id))
        self._serial += 1
        heapq.heappush(self._waiting, (envelope.due_at, self._serial, envelope))
        self._changed.set()

    async def bury(self, envelope: Envelope, summary: bytes) -> None:
        await self._writable.wait()
        self.dead.append((envelope, summary))
        self.log.append(("bury", envelope.task.id))

    async def quarantine(self, delivery: Delivery, reason: str, explanation: str) -> None:
        await self._writable.wait()
        self.invalid.append((delivery, reason, explanation))
        self.log.append(("quarantine", reason))

    async def ack(self, delivery: Delivery) -> bool:
        if self.is_lost(delivery):
            return False
        self.log.append(("ack", delivery.queue))
        self._settled(delivery)
        return True

    async def release(self, delivery: Delivery) -> None:
        if not self.is_lost(delivery):
            self.log.append(("release", delivery.queue))
            self._return(self._settled(delivery))
            self._deal(delivery.queue)

    def is_lost(self, delivery: Delivery) -> bool:
        assert isinstance(delivery.handle, Handle)
        return delivery.handle.session != self._session

    async def writable(self) -> None:
        await self._writable.wait()

    def state(self) -> BrokerState:
        blocked = "" if self._writable.is_set() else "by a test"
        return BrokerState(True, blocked, frozenset(self._subscriptions))

    def scheduled(self) -> int:
        return len(self._waiting)

    async def drain(self) -> None:
        self._subscriptions.clear()
        self.lose_connection()

    # -- inside

    def _hand_over(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._clock.now():
            envelope = heapq.heappop(self._waiting)[2]
            queue, message = envelope.task.queue, _message(envelope)
            if not self._hand_to(queue, Stored(queue, message)):
                self.submit(queue, message)

    def _hand_to(self, queue: str, stored: Stored) -> bool:
        """Offer what is due straight to its consumer; whether it had room for it."""
        subscription = self._subscriptions.get(queue)
        if subscription is None:
            return False
        self._unsettled[id(stored)] = stored
        if subscription.consumer.take_now(self._delivery(stored)):
            return True
        del self._unsettled[id(stored)]
        return False

    def _enqueue(self, envelope: Envelope) -> None:
        self.submit(envelope.task.queue, _message(envelope))

    def _deal(self, queue: str) -> None:
        subscription, ready = self._subscriptions.get(queue), self._ready.get(queue)
        while subscription and ready and len(subscription.unsettled) < subscription.prefetch:
            stored = ready.popleft()
            self._unsettled[id(stored)] = stored
            subscription.unsettled.add(id(stored))
            subscription.consumer.receive(self._delivery(stored))

    def _delivery(self, stored: Stored) -> Delivery:
        return Delivery(
            queue=stored.queue,
            message=replace(stored.message),
            redeliveries=stored.deliveries if self._counts else min(stored.deliveries, 1),
            counted=self._counts or not stored.deliveries,
            handle=Handle(self._session, stored),
        )

    def _settled(self, delivery: Delivery) -> Stored:
        assert isinstance(delivery.handle, Handle)
        stored = self._unsettled.pop(id(delivery.handle.stored))
        subscription = self._subscriptions.get(delivery.queue)
        if subscription:
            subscription.unsettled.discard(id(stored))
            asyncio.get_running_loop().call_soon(self._deal, delivery.queue)
        return stored

    def _return(self, stored: Stored) -> None:
        stored.deliveries += 1
        self._ready.setdefault(stored.queue, deque()).appendleft(stored)


def _message(envelope: Envelope) -> Message:
    return Message(
        envelope.task.source,
        progress_headers(envelope),
        correlation_id=envelope.correlation_id,
    )
