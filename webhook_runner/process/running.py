"""What a daemon and a worker do alike while they run."""

import asyncio
from collections.abc import Awaitable, Callable

OK = 0
TOPOLOGY_WRONG = 78
HURRY_SECONDS = 2.0
IDLE_LOOK_SECONDS = 0.05


async def until_stopped(running: set[asyncio.Task[None]], stopping: asyncio.Task[bool]) -> None:
    """Wait for the word to stop; what a part raises meanwhile ends all."""
    waiting: set[asyncio.Task[None] | asyncio.Task[bool]] = {*running, stopping}
    while not stopping.done():
        ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()


async def follow(
    asked: asyncio.Event, act: Callable[[], Awaitable[None]], rung: asyncio.Event
) -> None:
    """Act each time something was asked for, and ring; asking again meanwhile counts once."""
    while True:
        await asked.wait()
        asked.clear()
        await act()
        rung.set()
