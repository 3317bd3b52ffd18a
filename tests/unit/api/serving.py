"""The HTTP API on a free port of loopback, with a client for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx2

from tests.parts.house import House
from webhook_runner.api.health import Readiness
from webhook_runner.api.served import Served
from webhook_runner.api.server import ApiServer
from webhook_runner.engine.intake import Intake


def served_by(
    intake: Intake | None = None,
    ready: Callable[[], Readiness] = lambda: Readiness(True),
    metrics: Callable[[], bytes] = bytes,
) -> Served:
    """Return what is served of an intake and of a house at rest."""
    house = House().served
    return replace(house, readiness=ready, metrics=metrics, intake=intake or house.intake)


@contextlib.asynccontextmanager
async def serving(server: ApiServer) -> AsyncIterator[httpx2.AsyncClient]:
    running = asyncio.create_task(server.run())
    try:
        await asyncio.wait_for(server.started.wait(), 10)
        host, port = server.address
        async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
            yield client
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
