"""The broker port over one SQLite file: a machine's own broker, with nothing to install."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from webhook_runner.broker.apart import DELIVERY_LIMIT, set_apart, warning
from webhook_runner.broker.letter import death_marks, invalid_marks
from webhook_runner.broker.sqlite.batch import AT_ONCE, Entry, Letter
from webhook_runner.broker.sqlite.board import FileBoard
from webhook_runner.broker.sqlite.dealer import Dealer, handle_of
from webhook_runner.broker.sqlite.group_commit import GroupCommit
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.record import entry_of, entry_of_message
from webhook_runner.broker.sqlite.shelf import FileShelf
from webhook_runner.errors import InvalidTaskError
from webhook_runner.ports import BrokerState, Clock, Consumer, Delivery, Listener, Observer
from webhook_runner.settings import MEMORY
from webhook_runner.task.event import (
    BrokerBlocked,
    BrokerConnected,
    BrokerUnblocked,
    ConsumingChanged,
)
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.notice import Aside, Depths, Notice, PutAside
from webhook_runner.task.progress import due_milliseconds


class EmbeddedBroker:
    """The ports Broker, Board and Shelf. ``path`` may be ``:memory:``: then nothing outlives it.

    What follows a task takes the place of its delivery in one transaction: no crash leaves both.
    A dead letter does not when ends are ``recorded``: that comes before the acknowledgement.
    """

    def __init__(
        self, path: str, clock: Clock, observer: Observer, *, recorded: bool = False
    ) -> None:
        self._path = path
        self._recorded = recorded
        self._clock = clock
        self._observer = observer
        self._commits = GroupCommit(clock, self._tell, thread=path != MEMORY)
        self._dealer = Dealer(self._commits, clock, self._receive)
        self._board = FileBoard(self._commits, clock)
        self._shelf = FileShelf(self._commits, clock)
        self._file: QueueFile | None = None
        self._writable = asyncio.Event()
        self._drained = asyncio.Event()
        self._closed = asyncio.Event()
        self._apart: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until cancelled or drained.

        Raises:
            QueueFileError: the file cannot be used, or is damaged.

        """
        self._file = file = await self._commits.open(self._path)
        running: set[asyncio.Future[Any]] = set()
        try:
            await self._board.open(file)
            running |= self._start(file)
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.result()
        finally:
            await self._close(file, {*running, *self._apart})

    def _start(self, file: QueueFile) -> set[asyncio.Future[Any]]:
        """Hand over and write, now that what was kept is recalled."""
        self._shelf.open(file)
        self._observer.notice(BrokerConnected(self._path, "embedded"))
        self._writable.set()
        self._dealer.open(file.owner)
        works: list[Coroutine[Any, Any, Any]] = [self._commits.run(file), self._drained.wait()]
        if self._path != MEMORY:
            works.append(self._commits.tend(file))
        return {asyncio.ensure_future(each) for each in works}

    async def serve(self, queues: tuple[str, ...]) -> None:
        """Do nothing: a queue is there as soon as it holds something."""

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        if queue not in self._dealer.queues:
            self._observer.notice(ConsumingChanged(queue, consuming=True))
        self._dealer.subscribe(queue, consumer, prefetch)

    async def stop_consuming(self, queue: str) -> None:
        if queue in self._dealer.queues:
            self._dealer.unsubscribe(queue)
            self._observer.notice(ConsumingChanged(queue, consuming=False, why="stopped"))

    async def submit(self, queue: str, message: Message) -> None:
        """Take a message as an application wrote it; it is judged when it is handed over."""
        await self._publish(entry_of_message(queue, message))

    async def enqueue(self, envelope: Envelope) -> None:
        await self._follow(envelope, AT_ONCE)

    async def park(self, envelope: Envelope) -> None:
        await self._follow(envelope, max(due_milliseconds(envelope.due_at), AT_ONCE + 1))

    async def bury(self, envelope: Envelope, summary: bytes) -> None:
        dying = None if self._recorded else self._dealer.in_hand(envelope.key)
        now = self._clock.now()
        marks = death_marks(envelope, summary, now)
        entry = entry_of(envelope, AT_ONCE, marks, dying.id if dying else 0)
        await self._commits.publish(Letter(entry, round(now * 1000), is_dead=True))
        if dying:
            dying.replaced = True

    async def quarantine(
        self, delivery: Delivery, reason: str, explanation: str, field: str = ""
    ) -> None:
        marks = invalid_marks(delivery.queue, reason, explanation, field)
        entry = entry_of_message(delivery.queue, delivery.message, marks)
        at = round(self._clock.now() * 1000)
        await self._commits.publish(Letter(entry, at, is_dead=False))

    async def ack(self, delivery: Delivery) -> bool:
        handle = handle_of(delivery)
        if handle.settled or self.is_lost(delivery):
            return False
        return await self._dealer.ack(handle)

    async def release(self, delivery: Delivery) -> None:
        handle = handle_of(delivery)
        if not (handle.settled or self.is_lost(delivery)):
            await self._dealer.release(handle)

    def is_lost(self, delivery: Delivery) -> bool:
        return self._file is None or handle_of(delivery).owner != self._file.owner

    async def writable(self) -> None:
        await self._writable.wait()

    def state(self) -> BrokerState:
        is_open = self._file is not None
        return BrokerState(
            is_open, self._commits.trouble, self._dealer.queues if is_open else frozenset()
        )

    def scheduled(self) -> int:
        return self._file.scheduled if self._file else 0

    async def drain(self) -> None:
        self._dealer.close()
        if self._file is not None:
            await self._commits.flush()
        self._drained.set()
        if self._file is not None:
            await self._closed.wait()

    def attend(self, listener: Listener) -> None:
        self._board.attend(listener)

    async def post(self, notices: Sequence[Notice]) -> None:
        await self._board.post(notices)

    async def call(self, word: bytes) -> None:
        await self._board.call(word)

    async def recalled(self) -> None:
        await self._board.recalled()

    def walk(
        self, aside: Aside, queue: str
    ) -> AbstractAsyncContextManager[AsyncIterator[PutAside]]:
        return self._shelf.walk(aside, queue)

    async def remove(self, item: PutAside) -> None:
        await self._shelf.remove(item)

    async def clear(self, aside: Aside, queue: str) -> int:
        return await self._shelf.clear(aside, queue)

    async def depths(self, queue: str) -> Depths:
        return await self._shelf.depths(queue)

    async def purge(self, queue: str) -> int:
        return await self._shelf.purge(queue)

    async def _follow(self, envelope: Envelope, due: int) -> None:
        """Publish a copy; the one that it follows goes with it, if that is in our hands."""
        name, run, gen = envelope.key
        original = self._dealer.in_hand((name, run, gen - 1))
        await self._publish(entry_of(envelope, due, replaces=original.id if original else 0))
        if original:
            original.replaced = True

    async def _publish(self, entry: Entry) -> None:
        await self._commits.publish(entry)
        self._dealer.has_more(entry.queue, entry.due)

    def _receive(self, consumer: Consumer, delivery: Delivery) -> None:
        if delivery.redeliveries <= DELIVERY_LIMIT:
            consumer.receive(delivery)
        else:
            self._spawn(self._set_apart(delivery))

    async def _set_apart(self, delivery: Delivery) -> None:
        try:
            envelope = set_apart(delivery, self._clock.now())
        except InvalidTaskError as error:
            await self.quarantine(delivery, error.reason, str(error), error.field)
        else:
            self._observer.notice(warning(envelope))
            await self.park(envelope)
        await self.ack(delivery)

    def _tell(self, trouble: str) -> None:
        if trouble:
            self._writable.clear()
            self._observer.notice(BrokerBlocked(trouble))
        else:
            self._writable.set()
            self._observer.notice(BrokerUnblocked())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)

    async def _close(self, file: QueueFile, running: set[asyncio.Future[Any]]) -> None:
        self._file = None
        self._writable.clear()
        self._board.close()
        self._shelf.close()
        self._dealer.close()
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        try:
            await asyncio.shield(self._commits.close(file))
        finally:
            self._closed.set()
