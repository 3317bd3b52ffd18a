"""Slots by destination: shares, turns, and who is sent away."""

import asyncio
import random
from collections import Counter

import pytest

from tests.fakes.clock import settle
from webhook_runner.engine.host_slots import FEWEST_RETURNS, Entry, HostSlots
from webhook_runner.policy.mixture import LATELY, Host
from webhook_runner.settings import QueueSettings

A, B, C = ("a", 80), ("b", 80), ("c", 80)


class Visitors:
    """Who asks for slots, in which order they get them, and what the others were told."""

    def __init__(self, **queue: int) -> None:
        self.slots = HostSlots(QueueSettings(**queue))  # type: ignore[arg-type]
        self.entered: list[Host] = []
        self.told: list[tuple[Host, Entry]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.now = 0.0

    async def come(self, host: Host, times: int = 1) -> None:
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self._visit(host)))
        await settle()

    async def go(self, host: Host) -> None:
        self.slots.give_back(host)
        await settle()

    def inside(self) -> Counter[Host]:
        return Counter(self.slots._used_by)

    async def _visit(self, host: Host) -> None:
        entry = await self.slots.take(host, self.now)
        if entry is Entry.ENTERED:
            self.entered.append(host)
        else:
            self.told.append((host, entry))


async def test_a_queue_with_one_destination_uses_all_its_slots_and_sends_nobody_away() -> None:
    of = Visitors(concurrency=4)
    await of.come(A, 200)
    assert of.inside() == {A: 4}
    assert of.told == []


async def test_with_a_second_destination_each_may_have_half() -> None:
    of = Visitors(concurrency=10)
    await of.come(B)
    await of.come(A, 20)
    assert of.inside() == {A: 5, B: 1}
    await of.come(B, 20)
    assert of.inside() == {A: 5, B: 5}


async def test_an_operators_number_is_a_hard_cap_also_for_a_single_destination() -> None:
    of = Visitors(concurrency=10, per_host_concurrency=2)
    await of.come(A, 200)
    assert of.inside() == {A: 2}
    assert of.told == []  # there is nobody to make room for


async def test_whoever_had_more_than_its_share_gives_way_when_another_one_comes() -> None:
    of = Visitors(concurrency=4)
    await of.come(A, 30)
    assert of.inside() == {A: 4}
    await of.come(B, 3)
    for _ in range(2):
        await of.go(A)
    assert of.inside() == {A: 2, B: 2}
    await of.go(A)
    assert of.inside() == {A: 2, B: 2}


async def test_those_who_wait_for_a_share_that_shrank_are_sent_away_but_for_some() -> None:
    of = Visitors(concurrency=10)
    await of.come(A, 50)
    assert len(of.entered) == 10
    await of.come(B)
    assert of.told == [(A, Entry.SATURATED)] * (40 - 50 // 4)
    assert of.inside() == {A: 10}
    await of.go(A)
    assert of.inside() == {A: 9, B: 1}


async def test_free_slots_go_round_the_destinations_that_wait() -> None:
    of = Visitors(concurrency=2)
    await of.come(A)
    await of.come(B)
    await of.come(A, 6)
    await of.come(B, 3)
    await of.come(C, 3)
    first = len(of.entered)
    for _ in range(9):
        await of.go(of.entered[len(of.entered) - 2])
    got = of.entered[first:]
    assert {A, B, C} <= set(got[:6])
    assert max(Counter(got[:6]).values()) <= 3


async def test_only_so_many_of_a_full_destination_wait_here_and_others_are_let_in() -> None:
    of = Visitors(concurrency=10)  # it fetches 50
    await of.come(B)
    await of.come(A, 50)
    assert of.inside() == {A: 5, B: 1}
    waiting = 50 // 4
    assert of.told == [(A, Entry.SATURATED)] * (50 - 5 - waiting)
    await of.come(B, 4)
    assert of.inside() == {A: 5, B: 5}
    await of.go(A)
    assert of.inside() == {A: 5, B: 5}  # one that waited has its slot


async def test_several_full_destinations_together_leave_half_of_the_room() -> None:
    of = Visitors(concurrency=10, per_host_concurrency=1)
    hosts = [(f"h{number}", 80) for number in range(8)]
    for host in hosts:
        await of.come(host, 20)
    waiting = sum(len(line) for line in of.slots._waiting.values())
    assert waiting <= 50 // 2 + len(hosts)
    assert all(of.slots._waiting[host] for host in hosts)  # each has one that may go on at once


async def test_nobody_is_sent_away_while_all_wait_for_the_rate_but_afterwards() -> None:
    of, paced = Visitors(concurrency=10), True
    of.slots = HostSlots(QueueSettings(concurrency=10), lambda: paced)
    await of.come(B)
    await of.come(A, 49)
    assert (of.inside(), of.told) == ({A: 5, B: 1}, [])
    paced = False
    await of.go(A)
    assert of.inside() == {A: 5, B: 1}
    assert of.told == [(A, Entry.SATURATED)] * (49 - 6 - 50 // 4)


async def test_who_was_sent_away_comes_back_soon_and_later_the_more_there_are() -> None:
    of = Visitors(concurrency=2)
    backs = [of.slots.back_at(A, 100.0) - 100 for _ in range(1000)]
    assert backs[0] == pytest.approx(0.5)
    assert max(backs[:30]) <= 2
    assert backs == sorted(backs)
    assert backs[-1] == pytest.approx(1000 / FEWEST_RETURNS, rel=0.1)


async def test_a_fast_destination_gets_its_tasks_back_faster() -> None:
    slots = HostSlots(QueueSettings(concurrency=4))
    for _ in range(1000):
        slots.back_at(A, 0)
    for second in range(1, 6):
        for _ in range(200):
            assert slots.try_take(A, second)
            slots.give_back(A)
    first, *_, last = [slots.back_at(A, 5) for _ in range(1000)]
    assert last - first < 1000 / FEWEST_RETURNS / 10


async def test_after_a_while_alone_a_destination_has_all_slots_again() -> None:
    of = Visitors(concurrency=10)
    await of.come(B)
    await of.go(B)
    await of.come(A, 10)
    assert of.inside() == {A: 5}
    of.now += LATELY + 1
    await of.come(A)
    assert of.inside() == {A: 10}


async def test_a_slot_that_was_reserved_for_nobody_yet_is_claimed_or_given_up() -> None:
    slots = HostSlots(QueueSettings(concurrency=2, per_host_concurrency=1))
    assert slots.try_take(A, 0)
    assert slots.try_reserve()
    assert not slots.try_reserve()
    assert not slots.claim(A, 0)
    assert slots.used == 1
    assert slots.try_reserve()
    assert slots.claim(B, 0)
    assert slots.used == 2
    slots.give_back(B)
    assert slots.try_reserve()
    slots.give_up()
    assert slots.used == 1


async def test_a_reserved_slot_that_is_refused_goes_to_who_waits() -> None:
    of = Visitors(concurrency=2, per_host_concurrency=1)
    await of.come(A)
    assert of.slots.try_reserve()
    await of.come(B)
    assert of.inside() == {A: 1}
    assert not of.slots.claim(A, of.now)
    await settle()
    assert of.inside() == {A: 1, B: 1}


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_no_share_is_exceeded_and_no_slot_lies_idle(seed: int) -> None:
    dice = random.Random(seed)
    queue = QueueSettings(concurrency=dice.randint(1, 6), per_host_concurrency=dice.choice((0, 2)))
    of = Visitors(concurrency=queue.concurrency, per_host_concurrency=queue.per_host_concurrency)
    gone = 0
    for _ in range(300):
        match dice.randrange(6):
            case 0 | 1 | 2:
                await of.come(dice.choice((A, B, C)))
            case 3 if of.tasks:
                dice.choice(of.tasks).cancel()
                await settle()
            case 4 if of.slots._used_by:
                gone += 1
                await of.go(dice.choice(sorted(of.slots._used_by)))
            case _:
                of.now += dice.choice((0, 1, 100, 700))
        slots = of.slots
        assert slots.used == sum(slots._used_by.values()) <= queue.concurrency
        assert slots.used == len(of.entered) - gone
        assert slots._count == sum(len(line) for line in slots._waiting.values())
        if slots.used < queue.concurrency:
            for host in slots._waiting:
                assert slots._used_by.get(host, 0) >= slots._share
    of.slots.turn_away()
    await asyncio.gather(*of.tasks, return_exceptions=True)
