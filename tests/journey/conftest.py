"""A world per test, built by the test's own wishes and taken down after it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.journey.world import World, at_work, running, steered
from webhook_runner.ports import Store
from webhook_runner.settings import QueueSettings

StartWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def start() -> AsyncIterator[StartWorld]:
    """``await start(concurrency=1)``: a running world with one queue of these settings."""
    async with AsyncExitStack() as stack:

        async def build(
            queues: dict[str, QueueSettings] | None = None,
            *,
            counts: bool = True,
            u: float = 0.0,
            store: str | Store = "none",
            consuming: bool = True,
            company: bool = False,
            whole: dict[str, Any] | None = None,
            **queue: Any,
        ) -> World:
            chosen = queues or {"default": QueueSettings(**queue)}
            world = World(chosen, counts=counts, u=u, store=store, **(whole or {}))
            if consuming:
                await stack.enter_async_context(running(world))
            else:
                await stack.enter_async_context(at_work(world.broker, world.own_store))
            if company:
                await stack.enter_async_context(steered(world))
            return world

        yield build
