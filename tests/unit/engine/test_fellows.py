"""Whether daemons know of each other, and what can be said of a task when one keeps silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.square import Square
from webhook_runner.engine.fellows import ACQUAINTED_SECONDS, FORGOTTEN_SECONDS, Fellows
from webhook_runner.engine.holdings import Holdings, Said
from webhook_runner.engine.inflight import InFlight, Run
from webhook_runner.engine.revocations import Revocations
from webhook_runner.policy.verdict import Complete, Fail, Retry, Verdict
from webhook_runner.ports import Delivery
from webhook_runner.task.event import BrokerConnected
from webhook_runner.task.model import Envelope, Failure, Message, Task
from webhook_runner.task.notice import Notice


class Ear:
    def __init__(self, holdings: Holdings) -> None:
        self.holdings = holdings
        self.fellows: Fellows | None = None

    def recall(self, notice: Notice) -> None:
        self.holdings.recall(notice)

    def hear(self, word: bytes) -> None:
        if self.fellows is not None:
            self.fellows.hear(word)


class Someone:
    """A daemon of which there is only what it says of others, and what it has in hand."""

    def __init__(self, name: str, square: Square, clock: FakeClock) -> None:
        self.inflight = InFlight(lambda _: False)
        holdings = Holdings(self.inflight, Revocations(), {})
        self.place = square.place()
        self.fellows = Fellows(name, self.place, holdings, clock)
        ear = Ear(holdings)
        ear.fellows = self.fellows
        self.place.attend(ear)

    def has(self, name: str) -> Run:
        envelope = Envelope(Task(name, "q", "/x", b"{}"), first_at=1.0, due_at=1.0, gen=1)
        return self.inflight.start(Delivery("q", Message(b"{}", {"wr-id": name})), envelope)


class World:
    def __init__(self, stack: AsyncExitStack) -> None:
        self.clock = FakeClock()
        self.square = Square()
        self._stack = stack

    async def arrives(self, name: str) -> Someone:
        someone = Someone(name, self.square, self.clock)
        await self._stack.enter_async_context(_running(someone.fellows))
        await settle()
        return someone


@asynccontextmanager
async def _running(fellows: Fellows) -> AsyncIterator[None]:
    task = asyncio.create_task(fellows.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


async def three(world: World) -> list[Someone]:
    all_of_them = [await world.arrives(name) for name in "abc"]
    await world.clock.advance(ACQUAINTED_SECONDS)
    return all_of_them


async def test_who_comes_is_known_to_all_at_once_and_knows_them(world: World) -> None:
    one = await world.arrives("a")
    other = await world.arrives("b")
    assert one.fellows.members == other.fellows.members == {"a", "b"}


async def test_who_keeps_silent_is_forgotten(world: World) -> None:
    a, _, c = await three(world)
    world.square.places.remove(c.place)
    await c.fellows.leave()
    assert a.fellows.members == {"a", "b"}


async def test_who_vanished_is_forgotten_after_a_while(world: World) -> None:
    a, _, c = await three(world)
    c.fellows._left = True  # as if it said nothing any more
    await world.clock.advance(FORGOTTEN_SECONDS - 10)
    assert "c" in a.fellows.members
    await world.clock.advance(20)
    assert a.fellows.members == {"a", "b"}


async def test_what_nobody_has_is_absent(world: World) -> None:
    a, *_ = await three(world)
    assert await a.fellows.ask(["t"]) == {"t": Said.ABSENT}


async def test_before_it_is_acquainted_nobody_can_be_sure(world: World) -> None:
    a = await world.arrives("a")
    assert await a.fellows.ask(["t"]) == {"t": Said.UNSURE}
    await world.clock.advance(ACQUAINTED_SECONDS)
    assert await a.fellows.ask(["t"]) == {"t": Said.ABSENT}
    a.fellows.notice(BrokerConnected("host", "3"))
    await settle()
    assert await a.fellows.ask(["t"]) == {"t": Said.UNSURE}


async def test_when_one_does_not_answer_nobody_can_be_sure(world: World) -> None:
    a, b, c = await three(world)
    world.square.deaf.add(c.place)
    b.has("running").sending = asyncio.current_task()
    asking = asyncio.ensure_future(a.fellows.ask(["t", "running"]))
    await settle()
    assert not asking.done()
    await world.clock.advance(3)
    assert await asking == {"t": Said.UNSURE, "running": Said.RUNNING}


async def test_what_runs_elsewhere_is_told_when_it_has_ended(world: World) -> None:
    a, b, c = await three(world)
    runs = [b.has("t1"), c.has("t2"), c.has("t3")]
    for run in runs:
        run.sending = asyncio.current_task()
    asking = asyncio.ensure_future(a.fellows.ask(["t1", "t2", "t3", "t4"]))
    await settle()
    ends: tuple[Verdict, ...] = (
        Complete(),
        Fail(Failure("stopped"), None),
        Retry(runs[2].envelope, 1.0, "500"),
    )
    for someone, run, verdict in zip((b, c, c), runs, ends, strict=True):
        run.sending, run.verdict = None, verdict
        someone.inflight.end(run)
    await world.clock.advance(3)
    assert await asking == {
        "t1": Said.SUCCEEDED,
        "t2": Said.FAILED,
        "t3": Said.RUNNING,  # nobody has revoked it: it goes on
        "t4": Said.ABSENT,
    }


async def test_what_is_no_word_of_ours_is_told_to_who_listens(world: World) -> None:
    a = await world.arrives("a")
    with pytest.raises(ValueError, match="JSON"):
        a.fellows.hear(b"no word")
