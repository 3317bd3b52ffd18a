"""The engine over fakes, wired as the composition root wires it over the real parts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Literal, TypeVar

from tests.fakes.broker import RecordingBroker
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dispatcher import ScriptedDispatcher
from tests.fakes.observer import RecordingObserver
from webhook_runner.engine.consumer import QueueConsumer
from webhook_runner.engine.control import Control
from webhook_runner.engine.journal import Journal
from webhook_runner.engine.queues import Queues
from webhook_runner.observe.fanout import Fanout
from webhook_runner.ports import Store
from webhook_runner.settings import QueueSettings, Settings, StoreSettings
from webhook_runner.store.open_store import NONE, make_store
from webhook_runner.task.model import Message

T = TypeVar("T")
BASE = "http://app.test"


class World:
    """One daemon's engine: queues, a broker in memory, a clock that obeys, no network."""

    def __init__(
        self,
        queues: dict[str, QueueSettings] | None = None,
        *,
        counts: bool = True,
        u: float = 0.0,
        store: str | Store = NONE,
        on_failure: Literal["strict", "degraded"] = "strict",
        payloads: bool = True,
        clock: FakeClock | None = None,
        observer: RecordingObserver | None = None,
        divide: Callable[[str, QueueSettings], QueueSettings] | None = None,
        **settings: Any,
    ) -> None:
        kept = StoreSettings(on_failure=on_failure, payloads=payloads)
        settings = {"base_url": BASE, "store": kept, **settings}
        self.settings = Settings(queues=queues or {"default": QueueSettings()}, **settings)
        self.clock = clock or FakeClock()
        self.observer = observer or RecordingObserver()
        told = Fanout(self.observer)
        self.store, self.own_store = self._store(store, told)
        recorded = self.store.state().kind != NONE
        if recorded:
            told.join(Journal(self.store, self.clock))
        self.broker = RecordingBroker(self.clock, told, counts=counts, recorded=recorded)
        self.dispatcher = ScriptedDispatcher()
        self.ids = count(1)
        self.engine = Queues(
            self.settings,
            self.broker,
            self.store,
            self.dispatcher,
            told,
            self.clock,
            lambda: u,
            lambda: f"made-{next(self.ids)}",
            None,
            divide,
        )
        self.lanes = self.engine.lanes
        self.intake = self.engine.intake
        self.executor = self.engine._executor
        self.consumers = self.engine.consumers
        self.control = Control(
            "me", self.engine, self.broker, self.store, told, self.clock, is_shared=False
        )
        self.broker.attend(self.control.hearing)
        told.join(self.control.fellows)
        self.start = self.clock.now()

    def _store(self, store: str | Store, told: Fanout) -> tuple[Store, Store | None]:
        """Return the store, and again if it is to run here: that of another world runs there."""
        if isinstance(store, str):
            store = make_store(store, self.settings.store, self.clock, told)
            return store, store
        return store, None

    @property
    def consumer(self) -> QueueConsumer:
        return next(iter(self.consumers.values()))

    def send(self, body: Any = None, *, to: str = "", **properties: Any) -> bytes:
        """Publish as an application does; ``body`` is a message, its fields, or bytes."""
        fields: Any = {"url": "/x"} if body is None else body
        source = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        self.broker.submit(to or next(iter(self.lanes)), Message(source, **properties))
        return source

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        return asyncio.ensure_future(work)

    async def settle(self) -> None:
        await settle()

    async def at(self, seconds: float) -> None:
        """Let time pass until ``seconds`` after the start."""
        await self.clock.run_until(self.start + seconds)

    def since_start(self) -> float:
        return self.clock.now() - self.start

    def is_idle(self) -> bool:
        """Nothing is ready, waiting, unsettled or running any more."""
        broker = self.broker
        ready = sum(broker.ready(name) for name in self.lanes)
        return not (ready or broker.waiting or broker.unsettled or len(self.executor.inflight))


@asynccontextmanager
async def at_work(broker: RecordingBroker, store: Store | None = None) -> AsyncIterator[None]:
    """Let the broker and the store run; nothing consumes yet."""
    parts = [asyncio.create_task(broker.run())]
    if store is not None:
        parts.append(asyncio.create_task(store.run()))
    await broker.writable()
    try:
        yield
        assert all(not part.done() or part.exception() is None for part in parts)
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    async with at_work(world.broker, world.own_store):
        for consumer in world.consumers.values():
            await consumer.start()
        try:
            yield world
        finally:
            for consumer in world.consumers.values():
                await consumer.stop()
                await consumer.interrupt()


@asynccontextmanager
async def steered(world: World) -> AsyncIterator[World]:
    """Let the daemon keep company, and do what it is told of its queues."""

    async def heed() -> None:
        while True:
            await world.engine.steering.turned.wait()
            world.engine.steering.turned.clear()
            await world.engine.heed_steering()

    parts = [asyncio.create_task(each) for each in (world.control.run(), heed())]
    await settle()
    try:
        yield world
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
