"""The embedded broker, on a file or in memory, with a broker that can be crashed while it works."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.contract.rig import Kept, Rig
from tests.parts.running_broker import Heard, Notes, Running, WallClock, until
from webhook_runner.broker.embedded import EmbeddedBroker
from webhook_runner.ports import BrokerState, Consumer, Delivery, Listener
from webhook_runner.settings import MEMORY
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.notice import Aside, Depths, Notice, PutAside

T = TypeVar("T")


class Reopening:
    """One embedded broker after the other, each crashed, over one file: Broker, Board, Shelf.

    The consumers go over to the next one. Who publishes tries again, as a client would whose
    daemon died before it answered.
    """

    def __init__(self, path: str, clock: WallClock, notes: Notes) -> None:
        self._path = path
        self._clock = clock
        self._notes = notes
        self._consumers: dict[str, tuple[Consumer, int]] = {}
        self._died = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self.inner = self._make()

    async def crash(self) -> None:
        """Drop the broker with all that it has not written, and open the file anew."""
        assert self._running is not None
        dying, died = self._running, self._died
        self.inner, self._died = self._make(), asyncio.Event()
        for queue, (consumer, prefetch) in self._consumers.items():
            await self.inner.consume(queue, consumer, prefetch)
        dying.cancel()
        await asyncio.wait((dying,))
        died.set()
        await self.inner.writable()

    async def run(self) -> None:
        try:
            while True:
                self._running = asyncio.ensure_future(self.inner.run())
                await asyncio.wait((self._running,))
                if not self._running.cancelled():
                    return self._running.result()
        finally:
            if self._running is not None:
                self._running.cancel()
                await asyncio.gather(self._running, return_exceptions=True)

    async def serve(self, queues: tuple[str, ...]) -> None:
        await self.inner.serve(queues)

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        self._consumers[queue] = (consumer, prefetch)
        await self.inner.consume(queue, consumer, prefetch)

    async def stop_consuming(self, queue: str) -> None:
        self._consumers.pop(queue, None)
        await self.inner.stop_consuming(queue)

    async def submit(self, queue: str, message: Message) -> None:
        await self._until_confirmed(lambda broker: broker.submit(queue, message))

    async def enqueue(self, envelope: Envelope) -> None:
        await self._until_confirmed(lambda broker: broker.enqueue(envelope))

    async def park(self, envelope: Envelope) -> None:
        await self._until_confirmed(lambda broker: broker.park(envelope))

    async def bury(self, envelope: Envelope, summary: bytes) -> None:
        await self._until_confirmed(lambda broker: broker.bury(envelope, summary))

    async def quarantine(
        self, delivery: Delivery, reason: str, explanation: str, field: str = ""
    ) -> None:
        await self._until_confirmed(
            lambda broker: broker.quarantine(delivery, reason, explanation, field)
        )

    async def ack(self, delivery: Delivery) -> bool:
        return await self.inner.ack(delivery)

    async def release(self, delivery: Delivery) -> None:
        await self.inner.release(delivery)

    def is_lost(self, delivery: Delivery) -> bool:
        return self.inner.is_lost(delivery)

    async def writable(self) -> None:
        await self.inner.writable()

    def state(self) -> BrokerState:
        return self.inner.state()

    def scheduled(self) -> int:
        return self.inner.scheduled()

    async def drain(self) -> None:
        await self.inner.drain()

    def attend(self, listener: Listener) -> None:
        self._listener = listener
        self.inner.attend(listener)

    async def post(self, notices: Sequence[Notice]) -> None:
        await self._until_confirmed(lambda broker: broker.post(notices))

    async def call(self, word: bytes) -> None:
        await self.inner.call(word)

    async def recalled(self) -> None:
        await self.inner.recalled()

    def walk(
        self, aside: Aside, queue: str
    ) -> AbstractAsyncContextManager[AsyncIterator[PutAside]]:
        return self.inner.walk(aside, queue)

    async def remove(self, item: PutAside) -> None:
        await self.inner.remove(item)

    async def clear(self, aside: Aside, queue: str) -> int:
        return await self.inner.clear(aside, queue)

    async def depths(self, queue: str) -> Depths:
        return await self.inner.depths(queue)

    async def purge(self, queue: str) -> int:
        return await self.inner.purge(queue)

    def _make(self) -> EmbeddedBroker:
        broker = EmbeddedBroker(self._path, self._clock, self._notes)
        if self._listener is not None:
            broker.attend(self._listener)
        return broker

    async def _until_confirmed(
        self, publish: Callable[[EmbeddedBroker], Coroutine[Any, Any, None]]
    ) -> None:
        while True:
            publishing = asyncio.ensure_future(publish(self.inner))
            died = asyncio.ensure_future(self._died.wait())
            try:
                await asyncio.wait((publishing, died), return_when=asyncio.FIRST_COMPLETED)
            finally:
                died.cancel()
                if not publishing.done():
                    publishing.cancel()
            if publishing.done():
                return publishing.result()


class EmbeddedRig(Rig):
    def __init__(self, path: str, at_work: Running[Reopening]) -> None:
        super().__init__(at_work)
        self._path = path
        self._reopening = at_work.broker

    async def submit(self, queue: str, body: bytes, **properties: Any) -> None:
        headers = properties.pop("headers", {})
        trace = headers.get("traceparent", "")
        message = Message(body, headers, traceparent=trace, **properties)
        await self._reopening.submit(queue, message)

    async def lose_connection(self) -> None:
        assert self._path != MEMORY, "what is in memory does not outlive its broker"
        await self._reopening.crash()

    async def ready(self, queue: str) -> int:
        now = int(self.at_work.clock.now() * 1000)
        question = "SELECT count(*) FROM ready WHERE queue = ? AND due <= ?"
        return int((await self.ask(question, queue, now))[0][0])

    async def dead(self, queue: str) -> list[Kept]:
        return await self._kept("dead", queue)

    async def invalid(self, queue: str) -> list[Kept]:
        return await self._kept("invalid", queue)

    async def block(self) -> None:
        ((pages,),) = await self.ask("PRAGMA page_count")
        await self.ask(f"PRAGMA max_page_count = {pages}")

    async def unblock(self) -> None:
        await self.ask("PRAGMA max_page_count = 1073741823")

    async def ask(self, question: str, *values: object) -> list[Any]:
        """Ask the broker's own connection, where its batches are written."""
        inner = self._reopening.inner
        file = inner._file
        assert file is not None
        database: sqlite3.Connection = file._database
        return await inner._commits._call(lambda: database.execute(question, values).fetchall())

    def successor(self) -> AbstractAsyncContextManager[Running[Any]]:
        return _running(self._path)

    async def _kept(self, table: str, queue: str) -> list[Kept]:
        question = f"SELECT body, headers, properties FROM {table} WHERE queue = ? ORDER BY id"
        kept = []
        for body, headers, properties in await self.ask(question, queue):
            about = json.loads(properties or "{}")
            names = ("message_id", "content_type", "correlation_id")
            kept.append(Kept(body, json.loads(headers), *(about.get(name, "") for name in names)))
        return kept


@asynccontextmanager
async def _running(path: str) -> AsyncIterator[Running[Reopening]]:
    clock, notes, heard = WallClock(), Notes(), Heard()
    broker = Reopening(path, clock, notes)
    broker.attend(heard)
    at_work = Running(broker, clock, notes, asyncio.ensure_future(broker.run()), heard)
    await at_work.until_writable()
    try:
        yield at_work
    finally:
        await at_work.stop()
        await until(at_work.run.done, "the end")


@asynccontextmanager
async def embedded(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedRig]:
    directory: Path = request.getfixturevalue("tmp_path")
    path = str(directory / "queue.db")
    async with _running(path) as at_work:
        yield EmbeddedRig(path, at_work)


@asynccontextmanager
async def in_memory(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedRig]:
    async with _running(MEMORY) as at_work:
        yield EmbeddedRig(MEMORY, at_work)
