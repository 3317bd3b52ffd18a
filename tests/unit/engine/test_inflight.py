"""How a redelivery is recognised, and what it is told."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.fakes.clock import settle
from tests.unit.policy.samples import envelope, task
from webhook_runner.engine import inflight as module
from webhook_runner.engine.inflight import SETTLED, InFlight, Run
from webhook_runner.policy.verdict import Complete, Drop, Verdict
from webhook_runner.ports import Delivery
from webhook_runner.task.model import Envelope, Message

OURS = envelope(gen=1)
FOREIGN = envelope()
LEFT = Complete()


class Table:
    """An InFlight and the deliveries that are lost."""

    def __init__(self) -> None:
        self.lost: set[Delivery] = set()
        self.inflight = InFlight(lambda delivery: delivery in self.lost)

    def start(self, of: Envelope = FOREIGN, redeliveries: int = 0) -> Run:
        delivery = Delivery("q", Message(of.task.source), redeliveries=redeliveries)
        return self.inflight.start(delivery, of)

    def lose(self, run: Run) -> Run:
        self.lost.add(run.delivery)
        return run

    def end(self, run: Run, left: Verdict | None = None) -> None:
        run.left = left
        self.inflight.end(run)

    def told(self, run: Run) -> "asyncio.Task[Verdict | None]":
        return asyncio.create_task(self.inflight.left_before(run))


async def test_a_first_delivery_waits_for_nothing() -> None:
    table = Table()

    assert await table.told(table.start()) is None
    assert await table.told(table.start(OURS)) is None


@pytest.mark.parametrize("of", [OURS, FOREIGN])
async def test_a_redelivery_waits_for_the_lost_one_and_takes_what_it_left(of: Envelope) -> None:
    table = Table()
    first = table.lose(table.start(of))
    told = table.told(table.start(of, redeliveries=1))
    await settle()
    assert not told.done()
    table.end(first, LEFT)

    assert await told == LEFT


@pytest.mark.parametrize("of", [OURS, FOREIGN])
async def test_what_was_left_is_there_for_a_redelivery_that_comes_later(of: Envelope) -> None:
    table = Table()
    table.end(table.lose(table.start(of)), LEFT)
    later = table.start(of, redeliveries=1)

    assert await table.told(later) == LEFT


@pytest.mark.parametrize("of", [OURS, FOREIGN])
async def test_a_verdict_goes_from_lost_delivery_to_lost_delivery_until_it_is_done(
    of: Envelope,
) -> None:
    table = Table()
    runs = [table.lose(table.start(of, redeliveries=number)) for number in range(4)]
    table.lost.discard(runs[-1].delivery)
    waiting = [table.told(run) for run in runs[1:]]
    left: Verdict = LEFT
    for run, told in zip(runs, waiting, strict=False):
        assert not told.done()
        table.end(run, left)
        left = await told or Drop("nothing was left")

    assert left == LEFT


async def test_a_lost_delivery_that_did_nothing_leaves_the_work_to_the_next() -> None:
    table = Table()
    first = table.lose(table.start())
    told = table.told(table.start(redeliveries=1))
    await settle()
    table.end(first)

    assert await told is None


async def test_two_equal_foreign_messages_run_beside_each_other() -> None:
    table = Table()
    table.start()

    assert await table.told(table.start()) is None


async def test_a_redelivered_foreign_message_does_not_wait_for_one_that_is_not_lost() -> None:
    table = Table()
    table.start()

    assert await table.told(table.start(redeliveries=1)) is None


async def test_each_redelivery_takes_the_place_of_one_lost_delivery() -> None:
    table = Table()
    first, second = table.lose(table.start()), table.lose(table.start())
    told = [table.told(table.start(redeliveries=1)) for _ in range(3)]
    await settle()
    assert [each.done() for each in told] == [False, False, True]
    assert told[2].result() is None
    table.end(second, SETTLED)
    table.end(first, LEFT)

    assert [await told[0], await told[1]] == [LEFT, SETTLED]
    assert await table.told(table.start(redeliveries=1)) is None


async def test_foreign_messages_that_differ_are_strangers() -> None:
    table = Table()
    table.end(table.lose(table.start()), LEFT)
    others = [
        envelope(of=task(source=b"{}")),
        envelope(of=task(id="other")),
        replace(FOREIGN, gen=1),
    ]
    for other in others:
        assert await table.told(table.start(other, redeliveries=1)) is None

    other_queue = Delivery("other", Message(FOREIGN.task.source), redeliveries=1)
    other_run = table.inflight.start(other_queue, FOREIGN)
    assert await table.told(other_run) is None


async def test_a_foreign_message_without_an_id_is_known_by_its_bytes() -> None:
    table = Table()
    first = envelope(of=task(id="made-1"), named=False)
    again = envelope(of=task(id="made-2"), named=False)
    table.end(table.lose(table.start(first)), LEFT)

    assert await table.told(table.start(again, redeliveries=1)) == LEFT


async def test_a_second_copy_of_ours_waits_although_the_first_is_not_lost() -> None:
    table = Table()
    first = table.start(OURS)
    told = table.told(table.start(OURS))
    await settle()
    assert not told.done()
    table.end(first, SETTLED)

    assert await told == SETTLED


async def test_copies_of_another_generation_or_run_are_strangers() -> None:
    table = Table()
    table.start(OURS)
    for other in (replace(OURS, gen=2), replace(OURS, run=2)):
        assert await table.told(table.start(other)) is None


async def test_the_table_is_empty_when_everything_has_ended() -> None:
    table = Table()
    runs = [table.start(), table.start(OURS), table.start()]
    assert len(table.inflight) == 3
    for run in runs:
        table.end(run)

    assert len(table.inflight) == 0
    assert table.inflight._running == {}


async def test_the_memory_of_what_was_left_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    table = Table()
    for gen in range(1, 101):
        table.end(table.start(replace(OURS, gen=gen)), SETTLED)
    for _ in range(100):
        table.end(table.lose(table.start()), LEFT)

    assert len(table.inflight._left) == 10
    assert max(len(waiting) for waiting in table.inflight._left.values()) == 10
    assert await table.told(table.start(replace(OURS, gen=100))) == SETTLED
    assert await table.told(table.start(replace(OURS, gen=1))) is None
