"""The engine over fakes, wired as the composition root wires it over the real parts."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from tests.fakes.broker import RecordingBroker
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dispatcher import ScriptedDispatcher
from tests.fakes.observer import RecordingObserver
from webhook_runner.engine.consumer import QueueConsumer
from webhook_runner.engine.executor import Executor
from webhook_runner.engine.intake import Intake
from webhook_runner.engine.journal import Journal
from webhook_runner.engine.lane import Lane
from webhook_runner.engine.reception import Reception
from webhook_runner.observe.fanout import Fanout
from webhook_runner.ports import Store
from webhook_runner.settings import QueueSettings, Settings
from webhook_runner.store.open_store import NONE, make_store
from webhook_runner.task.model import Message

BASE = "http://app.test"


class World:
    """One daemon's engine: queues, a broker in memory, a clock that obeys, no network."""

    def __init__(
        self,
        queues: dict[str, QueueSettings] | None = None,
        *,
        counts: bool = True,
        u: float = 0.0,
        store: str = NONE,
        **settings: Any,
    ) -> None:
        settings = {"base_url": BASE, **settings}
        self.settings = Settings(queues=queues or {"default": QueueSettings()}, **settings)
        self.clock = FakeClock()
        self.observer = RecordingObserver()
        told = Fanout(self.observer)
        self.store = make_store(store, self.settings.store, self.clock, told)
        recorded = store != NONE
        if recorded:
            told.join(Journal(self.store, self.clock))
        self.broker = RecordingBroker(self.clock, told, counts=counts, recorded=recorded)
        self.dispatcher = ScriptedDispatcher()
        self.ids = count(1)
        self.lanes = {
            name: Lane(name, queue, self.settings.base_url, self.clock)
            for name, queue in self.settings.queues.items()
        }
        reception = Reception(
            self.settings,
            self.lanes,
            self.clock,
            told,
            lambda: f"made-{next(self.ids)}",
            has_store=self.store.state().kind != "none",
        )
        self.intake = Intake(reception, self.lanes, self.broker, self.store, told, self.clock)
        self.executor = Executor(
            self.lanes,
            reception,
            self.broker,
            self.store,
            self.dispatcher,
            told,
            self.clock,
            lambda: u,
            self.settings.max_total,
        )
        self.consumers = {
            name: QueueConsumer(lane, self.executor, self.broker, self.clock)
            for name, lane in self.lanes.items()
        }
        self.start = self.clock.now()

    @property
    def consumer(self) -> QueueConsumer:
        return next(iter(self.consumers.values()))

    def send(self, body: Any = None, *, to: str = "", **properties: Any) -> bytes:
        """Publish as an application does; ``body`` is a message, its fields, or bytes."""
        fields: Any = {"url": "/x"} if body is None else body
        source = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        self.broker.submit(to or next(iter(self.lanes)), Message(source, **properties))
        return source

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
    async with at_work(world.broker, world.store):
        for consumer in world.consumers.values():
            await consumer.start()
        try:
            yield world
        finally:
            for consumer in world.consumers.values():
                await consumer.stop()
                await consumer.interrupt()
