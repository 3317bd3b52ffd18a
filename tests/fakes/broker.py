"""The embedded broker in memory, as the journeys use it: watched, and in trouble on demand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from webhook_runner.broker.embedded import EmbeddedBroker
from webhook_runner.broker.sqlite.batch import Batch
from webhook_runner.broker.sqlite.group_commit import _answer
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.record import entry_of_message
from webhook_runner.ports import BrokerState, Clock, Consumer, Delivery, Listener, Observer
from webhook_runner.settings import MEMORY
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.notice import Aside, Depths, Notice, PutAside

_DUE_NOW = "FROM ready WHERE queue = ? AND due <= ?"


class Door:
    """Gives what was parked straight to who can take it now, as a broker may; else in its turn."""

    def __init__(self, broker: "RecordingBroker", consumer: Consumer) -> None:
        self._broker = broker
        self._consumer = consumer

    def receive(self, delivery: Delivery) -> None:
        seen = self._broker.as_counted(delivery)
        if not (self._broker.was_parked(seen) and self._consumer.take_now(seen)):
            self._consumer.receive(seen)

    def take_now(self, delivery: Delivery) -> bool:
        return self._consumer.take_now(delivery)


class RecordingBroker:
    """Implements ports.Broker, Board and Shelf over EmbeddedBroker.

    Attributes:
        log: every call that changes something, in order; a publish when it was confirmed.
        prefetch: of each queue, as last asked for.

    """

    def __init__(
        self, clock: Clock, observer: Observer, *, counts: bool = True, recorded: bool = False
    ) -> None:
        self._inner = EmbeddedBroker(MEMORY, clock, observer, recorded=recorded)
        self._clock = clock
        self._counts = counts
        self._parked: set[tuple[object, ...]] = set()
        self._submitting: set[asyncio.Task[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self.prefetch: dict[str, int] = {}
        self.dead: list[tuple[Envelope, bytes]] = []
        self.invalid: list[tuple[Delivery, str, str]] = []
        self.published: list[tuple[str, Envelope]] = []
        self.log: list[tuple[str, str]] = []

    # -- what a test does to it, and sees of it

    def submit(self, queue: str, message: Message) -> None:
        """Publish as an application does."""
        self._spawn(asyncio.ensure_future(self._inner.submit(queue, message)))

    def submit_copy(self, queue: str, message: Message) -> None:
        """Publish a copy of ours, whose headers are believed."""
        entry = entry_of_message(queue, message, message.headers)
        self._spawn(asyncio.ensure_future(self._inner._publish(entry)))

    def lose_connection(self) -> None:
        """Take everything unsettled out of hand, as another opening of the file would."""
        file, commits, dealer = self._file, self._inner._commits, self._inner._dealer
        arrived, commits._next = commits._next, Batch(claims=commits._next.claims)
        arrived.claims = {}
        written = file.write(arrived)
        _answer((*arrived.publishes, *arrived.posts), None)
        _answer(arrived.settles, True)
        for removed, count in zip(arrived.removals, written.removed, strict=True):
            _answer((removed,), count)
        file.take_over()
        dealer._in_hand.clear()
        for each in tuple(dealer._subscriptions.values()):
            dealer.subscribe(each.queue, each.consumer, each.prefetch)
        dealer.open(file.owner)

    def inherit(self, other: "RecordingBroker") -> None:
        """Open what the broker of a process that died has left behind."""
        other._file._database.backup(self._file._database)
        self._spawn(asyncio.ensure_future(self._inner._board.open(self._file)))
        self.lose_connection()

    def block(self, *, blocked: bool) -> None:
        (self._writable.clear if blocked else self._writable.set)()

    @property
    def waiting(self) -> int:
        """How many wait for their time."""
        now = int(self._clock.now() * 1000)
        return self._file._one(f"SELECT count(*) FROM ready WHERE due > {now}")

    @property
    def unsettled(self) -> int:
        return self._file._one("SELECT count(*) FROM unacked")

    def ready(self, queue: str) -> int:
        return len(self.deliveries(queue))

    def deliveries(self, queue: str) -> list[int]:
        """Return how often each message that is ready was handed over before."""
        wanted = (queue, int(self._clock.now() * 1000))
        rows = self._file._database.execute(f"SELECT deliveries {_DUE_NOW}", wanted)
        return [count for (count,) in rows]

    # -- what its consumers see of it

    def as_counted(self, delivery: Delivery) -> Delivery:
        if self._counts or not delivery.redeliveries:
            return delivery
        return replace(delivery, redeliveries=1, counted=False)

    def was_parked(self, delivery: Delivery) -> bool:
        headers = delivery.message.headers
        key = tuple(headers.get(name) for name in ("wr-id", "wr-run", "wr-gen"))
        return key in self._parked and not delivery.redeliveries

    # -- Broker

    async def run(self) -> None:
        await self._inner.run()

    async def serve(self, queues: tuple[str, ...]) -> None:
        await self._inner.serve(queues)

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        self.prefetch[queue] = prefetch
        await self._inner.consume(queue, Door(self, consumer), prefetch)

    async def stop_consuming(self, queue: str) -> None:
        await self._inner.stop_consuming(queue)

    async def enqueue(self, envelope: Envelope) -> None:
        await self._writable.wait()
        await self._inner.enqueue(envelope)
        self.published.append(("work", envelope))
        self.log.append(("enqueue", envelope.task.id))

    async def park(self, envelope: Envelope) -> None:
        await self._writable.wait()
        self._parked.add(envelope.key)
        await self._inner.park(envelope)
        self.published.append(("wait", envelope))
        self.log.append(("park", envelope.task.id))

    async def bury(self, envelope: Envelope, summary: bytes) -> None:
        await self._writable.wait()
        await self._inner.bury(envelope, summary)
        self.dead.append((envelope, summary))
        self.log.append(("bury", envelope.task.id))

    async def quarantine(
        self, delivery: Delivery, reason: str, explanation: str, field: str = ""
    ) -> None:
        await self._writable.wait()
        await self._inner.quarantine(delivery, reason, explanation, field)
        self.invalid.append((delivery, reason, explanation))
        self.log.append(("quarantine", reason))

    async def ack(self, delivery: Delivery) -> bool:
        if not self.is_lost(delivery):
            self.log.append(("ack", delivery.queue))
        return await self._inner.ack(delivery)

    async def release(self, delivery: Delivery) -> None:
        if not self.is_lost(delivery):
            self.log.append(("release", delivery.queue))
        await self._inner.release(delivery)

    def is_lost(self, delivery: Delivery) -> bool:
        return self._inner.is_lost(delivery)

    async def writable(self) -> None:
        await self._writable.wait()
        await self._inner.writable()

    def state(self) -> BrokerState:
        state = self._inner.state()
        return state if self._writable.is_set() else replace(state, blocked="by a test")

    def scheduled(self) -> int:
        return self._inner.scheduled()

    async def drain(self) -> None:
        await self._inner.drain()

    # -- Board

    def attend(self, listener: Listener) -> None:
        self._inner.attend(listener)

    async def post(self, notices: Sequence[Notice]) -> None:
        await self._writable.wait()
        await self._inner.post(notices)
        self.log += (("post", notice.key) for notice in notices)

    async def call(self, word: bytes) -> None:
        await self._inner.call(word)

    async def recalled(self) -> None:
        await self._inner.recalled()

    # -- Shelf

    def walk(
        self, aside: Aside, queue: str
    ) -> AbstractAsyncContextManager[AsyncIterator[PutAside]]:
        return self._inner.walk(aside, queue)

    async def remove(self, item: PutAside) -> None:
        await self._inner.remove(item)
        self.log.append(("remove", item.letter))

    async def clear(self, aside: Aside, queue: str) -> int:
        self.log.append(("clear", queue))
        return await self._inner.clear(aside, queue)

    async def depths(self, queue: str) -> Depths:
        return await self._inner.depths(queue)

    async def purge(self, queue: str) -> int:
        self.log.append(("purge", queue))
        return await self._inner.purge(queue)

    @property
    def _file(self) -> QueueFile:
        file = self._inner._file
        assert file is not None
        return file

    def _spawn(self, task: asyncio.Task[None]) -> None:
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)
