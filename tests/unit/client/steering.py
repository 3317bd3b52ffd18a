"""Both clients, asked the same: what one of them does, the other does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

import pytest

from webhook_runner.client import AsyncClient, Client

Act = Callable[[Any], object]


class Asking(Protocol):
    def __call__(self, url: str, act: Act, **options: Any) -> Any: ...


def blocking(url: str, act: Act, **options: Any) -> Any:
    """Ask a ``Client``; what it iterates over becomes a list."""
    with Client(url, **options) as client:
        found = act(client)
        return list(found) if isinstance(found, Iterator) else found


def awaited(url: str, act: Act, **options: Any) -> Any:
    """Ask an ``AsyncClient`` likewise."""

    async def ask() -> object:
        async with AsyncClient(url, **options) as client:
            found = act(client)
            if isinstance(found, AsyncIterator):
                return [each async for each in found]
            return await found if isinstance(found, Awaitable) else found

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [blocking, awaited])
