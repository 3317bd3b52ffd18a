"""The engine with broker and store in memory, and its HTTP API on a port of loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from tests.fakes.dispatcher import ScriptedDispatcher
from tests.fakes.observer import RecordingObserver
from webhook_runner.api.health import Readiness
from webhook_runner.api.served import Door, Served
from webhook_runner.api.server import ApiServer
from webhook_runner.broker.embedded import EmbeddedBroker
from webhook_runner.engine.control import Control
from webhook_runner.engine.journal import Journal
from webhook_runner.engine.queues import Queues
from webhook_runner.observe.fanout import Fanout
from webhook_runner.process.clock import SystemClock, task_id
from webhook_runner.settings import MEMORY, ApiSettings, QueueSettings, Settings, StoreSettings
from webhook_runner.store.open_store import make_store

QUEUES = {
    "default": QueueSettings(retry_limit=0, jitter=0),
    "other": QueueSettings(min_backoff_seconds=0.001, max_backoff_seconds=0.001, jitter=0),
}


class House:
    """Everything between the HTTP API and the requests that go out, which are scripted."""

    def __init__(self, *, store: str = "sqlite::memory:", api: Any = None, **settings: Any) -> None:
        settings = {"queues": QUEUES, "base_url": "http://app.test", **settings}
        self.settings = Settings(api=ApiSettings(listen="127.0.0.1:0", **(api or {})), **settings)
        self.clock = SystemClock()
        self.seen = RecordingObserver()
        self.door = Door(self.settings.api, self.clock)
        observer = Fanout(self.seen, self.door.events)
        self.store = make_store(store, StoreSettings(), self.clock, observer)
        recorded = store != "none"
        if recorded:
            observer.join(Journal(self.store, self.clock))
        self.observer = observer
        self.broker = EmbeddedBroker(MEMORY, self.clock, observer, recorded=recorded)
        self.dispatcher = ScriptedDispatcher()
        self.queues = Queues(
            self.settings,
            self.broker,
            self.store,
            self.dispatcher,
            observer,
            self.clock,
            lambda: 0.0,
            task_id,
        )
        self.control = Control(
            "house", self.queues, self.broker, self.store, observer, self.clock, is_shared=False
        )
        self.broker.attend(self.control.hearing)
        observer.join(self.control.fellows)
        self.readiness = Readiness(True, {"broker": "ok"})

    @property
    def served(self) -> Served:
        return Served(
            lambda: self.readiness, lambda: b"up 1\n", self.queues.intake, self.control, self.door
        )

    async def work(self) -> None:
        """Run every part until cancelled."""
        async with asyncio.TaskGroup() as parts:
            for part in (self.broker.run(), self.store.run(), self.control.run()):
                parts.create_task(part)
            await self.broker.writable()
            await self.queues.start()


@contextlib.asynccontextmanager
async def served(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client of the house's API while it works."""
    server = ApiServer(house.settings.api.listen, house.served)
    running = [asyncio.create_task(house.work()), asyncio.create_task(server.run())]
    try:
        async with asyncio.timeout(10):
            await server.started.wait()
            await house.broker.writable()
        host, port = server.address
        base = f"http://{host}:{port}"
        async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=20) as client:
            yield client
    finally:
        for each in reversed(running):
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await each
