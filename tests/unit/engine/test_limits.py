"""Slots and gate: who may go on, and that nobody is forgotten."""

import asyncio
import random

import pytest

from tests.fakes.clock import FakeClock, settle
from webhook_runner.engine.host_slots import Entry
from webhook_runner.engine.limits import Gate, Slots
from webhook_runner.settings import QueueSettings

APP = ("app.test", 80)


def spawn_takers(slots: Slots, number: int, order: list[int]) -> list[asyncio.Task[bool]]:
    async def take(who: int) -> bool:
        taken = await slots.take()
        if taken:
            order.append(who)
        return taken

    return [asyncio.create_task(take(who)) for who in range(number)]


async def test_slots_are_given_first_come_first_served() -> None:
    slots, order = Slots(2), list[int]()
    takers = spawn_takers(slots, 6, order)
    await settle()
    assert order == [0, 1]
    for expected in range(3, 7):
        slots.give_back()
        await settle()
        assert order == list(range(expected))
        assert slots.used == 2

    assert all(taker.result() for taker in takers)


async def test_nobody_overtakes_those_who_wait() -> None:
    slots = Slots(1)
    assert slots.try_take()
    waiting = asyncio.create_task(slots.take())
    await settle()
    slots.give_back()
    assert not slots.try_take()
    assert await waiting


async def test_a_raised_limit_lets_the_waiting_in_and_a_lowered_one_waits_for_the_rest() -> None:
    slots, order = Slots(1), list[int]()
    takers = spawn_takers(slots, 6, order)
    await settle()
    slots.resize(4)
    await settle()
    assert order == [0, 1, 2, 3]
    slots.resize(2)
    slots.give_back()
    slots.give_back()
    await settle()
    assert (order, slots.used) == ([0, 1, 2, 3], 2)
    slots.give_back()
    await settle()
    assert order == [0, 1, 2, 3, 4]
    slots.turn_away()
    assert [await taker for taker in takers] == [True] * 5 + [False]


async def test_a_cancelled_waiter_loses_no_slot() -> None:
    slots, order = Slots(1), list[int]()
    takers = spawn_takers(slots, 4, order)
    await settle()
    takers[1].cancel()  # while it waits
    slots.give_back()
    takers[2].cancel()  # when the slot is its own, but it does not know yet
    await settle()

    assert order == [0, 3]
    slots.give_back()
    assert slots.used == 0


async def test_whatever_is_cancelled_resized_or_turned_away_the_count_is_right() -> None:
    dice = random.Random(7)
    for _ in range(30):
        slots, order = Slots(dice.randint(1, 3)), list[int]()
        takers = spawn_takers(slots, 12, order)
        held = 0
        for _ in range(40):
            match dice.randrange(5):
                case 0:
                    dice.choice(takers).cancel()
                case 1:
                    slots.resize(dice.randint(1, 4))
                case 2 if held < len(order):
                    held += 1
                    slots.give_back()
                case 3 if dice.random() < 0.05:
                    slots.turn_away()
                case _:
                    await asyncio.sleep(0)
        await settle()
        assert slots.used == len(order) - held
        assert order == sorted(order)
        slots.turn_away()
        await asyncio.gather(*takers, return_exceptions=True)


def gate(clock: FakeClock, **queue: object) -> Gate:
    return Gate(QueueSettings.model_validate(queue), clock)


async def enters(door: Gate) -> bool:
    return await door.enter(APP) is Entry.ENTERED


async def test_the_gate_wants_a_slot_and_a_token() -> None:
    clock = FakeClock()
    door = gate(clock, concurrency=2, rate="1/s")
    assert await enters(door)
    entering = asyncio.create_task(enters(door))
    await clock.advance(0.999)
    assert not entering.done()
    await clock.advance(0.001)
    assert await entering
    waiting = asyncio.create_task(enters(door))
    await clock.advance(10)
    assert not waiting.done()
    door.leave(APP)
    assert await waiting
    assert door.used == 2


async def test_a_token_that_was_not_used_is_given_back_with_the_slot() -> None:
    door = gate(FakeClock(), rate="1/s")
    assert await enters(door)
    assert door.wait() > 0
    door.leave(APP, unused=True)
    assert (door.wait(), door.used) == (0, 0)


async def test_a_closed_gate_turns_away_who_waits_and_who_comes() -> None:
    clock = FakeClock()
    for_slot, for_token = gate(clock, concurrency=1), gate(clock, rate="6/m")
    assert await enters(for_slot)
    assert await enters(for_token)
    waiting = [asyncio.create_task(enters(door)) for door in (for_slot, for_token)]
    await settle()
    for door in (for_slot, for_token):
        door.close()
    assert [await each for each in waiting] == [False, False]
    assert not await enters(for_slot)
    assert not for_slot.try_enter()
    assert for_slot.used == for_token.used == 1

    for_slot.leave(APP)
    for_slot.open()
    assert await enters(for_slot)


async def test_a_cancelled_wait_for_a_token_gives_the_slot_back() -> None:
    door = gate(FakeClock(), rate="6/m")
    assert await enters(door)
    waiting = asyncio.create_task(enters(door))
    await settle()
    assert door.used == 2
    waiting.cancel()
    await settle()

    assert door.used == 1


async def test_a_limit_lowered_while_somebody_waits_for_a_token_holds_for_that_one_too() -> None:
    clock = FakeClock()
    gate = Gate(QueueSettings(concurrency=2, rate=1.0), clock)
    assert await gate.enter(APP) is Entry.ENTERED
    waiting = asyncio.create_task(gate.enter(APP))
    await settle()
    gate.reconfigure(QueueSettings(concurrency=1, rate=1.0))
    await clock.advance(5)
    assert not waiting.done()
    gate.leave(APP)
    await clock.advance(5)
    assert waiting.result() is Entry.ENTERED
    assert gate.used == 1


async def test_a_gate_does_not_let_anybody_wait_long_for_a_token() -> None:
    clock = FakeClock()
    door = gate(clock, rate="6/h")
    dry: list[float] = []

    async def note(seconds: float) -> None:
        dry.append(seconds)

    door.on_dry = note
    assert await enters(door)
    await door.warn_if_dry()
    assert dry == [600]
    assert not await enters(door)
    assert not door.try_enter()
    assert door.used == 1


async def test_try_enter_takes_both_or_nothing() -> None:
    clock = FakeClock()
    door = gate(clock, concurrency=1, rate="1/s")
    assert door.try_enter()
    assert not door.try_enter()
    await clock.advance(5)
    assert not door.try_enter()
    door.leave(None)
    assert door.try_enter()
    assert door.used == 1


async def test_a_reconfigured_gate_wakes_who_waits_for_a_token() -> None:
    clock = FakeClock()
    door = gate(clock, rate="2/m")
    assert await enters(door)
    waiting = asyncio.create_task(enters(door))
    await clock.advance(1)
    door.reconfigure(QueueSettings())

    assert await waiting


@pytest.mark.parametrize("seed", range(5))
async def test_the_gate_never_lets_in_more_than_slots_and_tokens_allow(seed: int) -> None:
    dice, clock = random.Random(seed), FakeClock()
    door = gate(clock, concurrency=3, rate="5/s", bucket_size=2)
    inside, entered = 0, list[float]()

    async def visit() -> None:
        nonlocal inside
        await clock.sleep(dice.random() * 5)
        if not await enters(door):
            return
        entered.append(clock.monotonic())
        inside += 1
        assert inside <= 3
        await clock.sleep(dice.random())
        inside -= 1
        door.leave(APP)

    visitors = [asyncio.create_task(visit()) for _ in range(60)]
    await clock.advance(200)
    await asyncio.gather(*visitors)

    assert len(entered) == 60
    for first in range(60):
        for last in range(first, 60):
            assert last - first + 1 <= 5 * (entered[last] - entered[first]) + 2 + 1e-6
    assert door.used == 0
