"""A copy is held back while the message it was made of is being settled, and no longer."""

import asyncio

import pytest
from msgspec.structs import replace

from webhook_runner.engine.succession import Succession
from webhook_runner.policy.verdict import Complete, Errand, Forward
from webhook_runner.task.model import Envelope, Task

ORIGINAL = Envelope(Task("a", "q", "http://x/", b"{}"), first_at=0.0, due_at=0.0)
COPY = replace(ORIGINAL, gen=1)


async def test_a_copy_waits_until_its_original_is_settled() -> None:
    succession = Succession()
    with succession.making(Forward(COPY, Errand.COUNTED)):
        waiting = asyncio.create_task(succession.original_settled(COPY))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    async with asyncio.timeout(5):
        await waiting


async def fail_to_settle(succession: Succession, waiting: list[asyncio.Task[None]]) -> None:
    with succession.making(Forward(COPY, Errand.NAMED)):
        waiting.append(asyncio.create_task(succession.original_settled(COPY)))
        await asyncio.sleep(0)
        raise ConnectionError


async def test_a_copy_whose_original_failed_to_settle_goes_on() -> None:
    waiting: list[asyncio.Task[None]] = []
    with pytest.raises(ConnectionError):
        await fail_to_settle(Succession(), waiting)
    async with asyncio.timeout(5):
        await waiting[0]


async def test_nothing_else_waits() -> None:
    succession = Succession()
    async with asyncio.timeout(5):
        with succession.making(Complete()), succession.making(Forward(COPY, Errand.ROUTED)):
            await succession.original_settled(ORIGINAL)
        await succession.original_settled(COPY)
