"""What found no queue is looked at again until it has one."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

from msgspec.structs import replace

from tests.fakes.clock import FakeClock, settle
from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.hands import Hands
from webhook_runner.broker.amqp.message import DUE
from webhook_runner.broker.amqp.session import Session
from webhook_runner.broker.amqp.sweep import EVERY_SECONDS, OPENS_SOON_SECONDS, Sweeper
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.policy.delay import RING, WHEEL


class Unrouted:
    """The queue of what found no queue: three messages of known keys, which always come back."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self.looks = 0
        self.released: list[int] = []
        self.declarer = self
        self.clock = clock = FakeClock()
        topology = Topology("wr.v1", ("q",))
        settings = SimpleNamespace(wheel_memory_bytes=2**20)
        self.around = SimpleNamespace(topology=topology, clock=clock, settings=settings)

    async def channel(self, name: str) -> "Unrouted":
        assert name
        return self

    async def count(self, queue: str) -> int:
        return len(self.keys) if queue == "wr.v1.unrouted" else 0

    async def consume(
        self, queue: str, tag: str, prefetch: int, receive: Callable[[Arrival], None]
    ) -> None:
        assert queue
        assert tag
        assert prefetch
        self.looks += 1
        for number, key in enumerate(self.keys):
            channel = cast("Channel", self)
            plain = ("", "", "", "", None, True, False)
            receive(Arrival(channel, number, False, "wr.v1.work", key, b"{}", {}, *plain))

    async def cancel(self, tag: str) -> None:
        assert tag

    def release(self, tag: int) -> None:
        self.released.append(tag)


class Slots(Unrouted):
    """A slot of the finest ring opens each second, and in each lies what is due in an hour."""

    async def count(self, queue: str) -> int:
        return 0 if queue == "wr.v1.unrouted" else len(self.keys)

    async def consume(
        self, queue: str, tag: str, prefetch: int, receive: Callable[[Arrival], None]
    ) -> None:
        due = int((self.clock.now() + 3600) * 1000)
        await super().consume(
            queue, tag, prefetch, lambda a: receive(replace(a, headers={DUE: due}))
        )


class Filling(Slots):
    """Two of them hold a message; the others get theirs as soon as one is looked into."""

    prefetched: int = 0

    async def count(self, queue: str) -> int:
        there = self.looks or queue.endswith((".7", ".47"))
        return await super().count(queue) if there else 0

    async def consume(
        self, queue: str, tag: str, prefetch: int, receive: Callable[[Arrival], None]
    ) -> None:
        self.prefetched += prefetch
        await super().consume(queue, tag, prefetch, receive)


class Spawner:
    """Stands for the hands: they send what goes home, which here finds no queue again."""

    largest = 1.0

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()


def sweeper_of(node: Unrouted) -> Sweeper:
    session, hands = cast("Session", node), cast("Hands", Spawner())
    return Sweeper(session, WHEEL, hands, lambda _level, _position: False)


async def sweep_twice(unrouted: Unrouted) -> None:
    sweeper = sweeper_of(unrouted)
    await sweeper._everything(OPENS_SOON_SECONDS)
    await sweeper._everything(OPENS_SOON_SECONDS)


async def test_what_came_straight_back_is_sent_home_again_by_the_next_sweep() -> None:
    unrouted = Unrouted(("q", "q", "q"))
    await sweep_twice(unrouted)
    assert unrouted.looks == 2


async def test_what_has_no_home_is_not_looked_at_again_while_nothing_changes() -> None:
    unrouted = Unrouted(("stranger", "stranger"))
    await sweep_twice(unrouted)
    assert unrouted.looks == 1
    assert sorted(unrouted.released) == [0, 1]


class Stepping(Unrouted):
    """The same, and the wall clock is set while the first sweep asks about it."""

    async def count(self, queue: str) -> int:
        if not self.looks:
            self.clock.step(3600)
        return await super().count(queue)


async def test_a_clock_that_is_set_in_the_middle_of_a_sweep_makes_another_one() -> None:
    unrouted = Stepping(("stranger",))
    sweeper = sweeper_of(unrouted)
    sweeping = asyncio.create_task(sweeper.run(settle))
    await unrouted.clock.advance(2)
    await settle()
    assert unrouted.looks == 2
    sweeping.cancel()


async def test_a_clock_that_is_set_in_the_last_second_before_a_sweep_is_noticed() -> None:
    unrouted = Unrouted(("stranger",))
    sweeper = sweeper_of(unrouted)
    sweeping = asyncio.create_task(sweeper.run(settle))
    await unrouted.clock.advance(EVERY_SECONDS - 0.5)
    unrouted.clock.step(3600)
    assert unrouted.looks == 1
    await unrouted.clock.advance(1)
    await settle()
    assert unrouted.looks == 2
    sweeping.cancel()


async def test_what_has_no_home_is_looked_at_again_once_there_are_more_levels() -> None:
    unrouted = Unrouted(("stranger",))
    sweeper = sweeper_of(unrouted)
    await sweeper._everything(OPENS_SOON_SECONDS)
    sweeper.levels = frozenset({0, 1})
    await sweeper._everything(OPENS_SOON_SECONDS)
    assert unrouted.looks == 2


async def looks(slots: Slots, soon: float) -> int:
    sweeper = sweeper_of(slots)
    sweeper.levels, before = frozenset({0}), slots.looks
    await sweeper._everything(soon)
    return slots.looks - before


async def test_what_opens_within_a_lap_is_not_looked_into_until_that_is_called_for() -> None:
    slots = Slots(("x",))
    assert await looks(slots, WHEEL.lap) <= 1  # the slot that is open now comes in a lap again
    assert await looks(slots, OPENS_SOON_SECONDS) >= RING - OPENS_SOON_SECONDS - 1


async def test_what_is_parked_while_a_sweep_goes_on_is_not_looked_at() -> None:
    slots = Filling(("x",))
    assert await looks(slots, OPENS_SOON_SECONDS) == 2
    assert slots.prefetched == 2


async def test_only_the_sweeps_at_the_start_and_when_the_clock_is_set_look_everywhere() -> None:
    slots = Slots(("x",))
    sweeper = sweeper_of(slots)
    sweeper.levels = frozenset({0})
    sweeping = asyncio.create_task(sweeper.run(settle))
    await settle()
    at_start = slots.looks
    slots.keys = ("x", "y")  # news
    await slots.clock.advance(2 * EVERY_SECONDS)
    await settle()
    between = slots.looks - at_start
    slots.clock.step(600)
    await slots.clock.advance(2)
    await settle()
    assert at_start > RING / 2
    assert between <= 2
    assert slots.looks - at_start - between > RING / 2
    sweeping.cancel()
