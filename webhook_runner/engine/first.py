"""Waiting for whichever comes first."""

import asyncio
from collections.abc import Awaitable
from typing import Any


async def first_of(*awaited: Awaitable[Any]) -> None:
    """Wait for the first, and for no other."""
    waiting = [asyncio.ensure_future(each) for each in awaited]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
