"""What a daemon and a worker do alike while they run."""

import asyncio

import pytest

from webhook_runner.process.running import follow, until_stopped


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise LookupError("gone")


async def test_a_part_that_ends_well_ends_nobody_else() -> None:
    stop = asyncio.Event()
    brief = asyncio.create_task(asyncio.sleep(0))
    running = {brief, asyncio.create_task(forever())}
    waiting = asyncio.create_task(until_stopped(running, asyncio.create_task(stop.wait())))
    await brief
    await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    await waiting
    for part in running:
        part.cancel()


async def test_what_a_part_raises_ends_the_waiting() -> None:
    running = {asyncio.create_task(fail()), asyncio.create_task(forever())}
    stopping = asyncio.create_task(asyncio.Event().wait())
    with pytest.raises(LookupError, match="gone"):
        await until_stopped(running, stopping)
    for part in (*running, stopping):
        part.cancel()


async def test_what_is_asked_for_again_meanwhile_is_done_once_more_and_rings() -> None:
    asked, rung, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    times = 0

    async def act() -> None:
        nonlocal times
        times += 1
        if times == 1:
            asked.set()
            asked.set()
        else:
            done.set()

    following = asyncio.create_task(follow(asked, act, rung))
    asked.set()
    await done.wait()
    await rung.wait()
    await asyncio.sleep(0)
    following.cancel()

    assert times == 2
