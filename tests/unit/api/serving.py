"""The HTTP API on a free port of loopback, with a client for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx2

from webhook_runner.api.server import ApiServer


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
