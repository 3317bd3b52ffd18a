"""Who runs alone, and destinations that want to be left alone."""

import asyncio
import random

import pytest

from tests.fakes.clock import FakeClock, settle
from webhook_runner.engine.limits import Crowd


class Guests:
    """Visitors of a crowd, who stay until they are told to go."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.inside: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leave: dict[str, asyncio.Event] = {}

    async def come(self, name: str, *, alone: bool = False) -> None:
        self._leave[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._visit(name, alone=alone))
        await settle()

    async def go(self, name: str) -> None:
        self._leave[name].set()
        await settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await settle()

    async def _visit(self, name: str, *, alone: bool) -> None:
        await self.crowd.enter(alone=alone)
        self.inside.append(name)
        try:
            await self._leave[name].wait()
        finally:
            self.inside.remove(name)
            self.crowd.leave(alone=alone)


async def test_who_runs_alone_waits_for_all_and_all_wait_for_it() -> None:
    guests = Guests(Crowd(10))
    await guests.come("a")
    await guests.come("b")
    await guests.come("alone", alone=True)
    await guests.come("c")
    assert guests.inside == ["a", "b"]
    await guests.go("a")
    await guests.go("b")
    assert guests.inside == ["alone"]
    await guests.come("second", alone=True)
    await guests.come("d")
    await guests.go("alone")
    assert guests.inside == ["c"]
    await guests.go("c")
    assert guests.inside == ["second"]
    await guests.go("second")
    assert guests.inside == ["d"]


async def test_a_full_crowd_lets_the_waiting_in_before_who_runs_alone() -> None:
    guests = Guests(Crowd(1))
    await guests.come("a")
    await guests.come("b")
    await guests.come("alone", alone=True)
    await guests.go("a")
    assert guests.inside == ["b"]
    await guests.go("b")
    assert guests.inside == ["alone"]


@pytest.mark.parametrize("limit", [1, 10])
async def test_whoever_is_cancelled_on_the_way_in_blocks_nobody(limit: int) -> None:
    guests = Guests(Crowd(limit))
    await guests.come("a")
    await guests.come("alone", alone=True)
    await guests.come("second", alone=True)
    await guests.come("b")
    await guests.cancel("alone")
    await guests.cancel("second")
    await guests.go("a")
    assert guests.inside == ["b"]
    await guests.come("c")
    await guests.go("b")
    assert guests.inside == ["c"]


async def test_a_solitary_guest_is_never_beside_another() -> None:
    dice, clock, crowd = random.Random(3), FakeClock(), Crowd(4)
    inside: list[bool] = []

    async def visit() -> None:
        await clock.sleep(dice.random() * 20)
        alone = dice.random() < 0.2
        await crowd.enter(alone=alone)
        inside.append(alone)
        assert len(inside) <= 4
        assert not any(inside) or len(inside) == 1
        try:
            await clock.sleep(dice.random())
        finally:
            inside.remove(alone)
            crowd.leave(alone=alone)

    visitors = [asyncio.create_task(visit()) for _ in range(120)]
    for visitor in visitors[::10]:
        asyncio.get_running_loop().call_soon(visitor.cancel)
    await clock.advance(300)
    ended = await asyncio.gather(*visitors, return_exceptions=True)

    assert not [each for each in ended if isinstance(each, AssertionError)]
    assert inside == []


async def test_a_crowd_may_grow() -> None:
    crowd = Crowd(1)
    guests = Guests(crowd)
    await guests.come("a")
    await guests.come("b")
    crowd.resize(2)
    await settle()
    assert guests.inside == ["a", "b"]
