"""What found no queue is looked at again until it has one."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

from tests.fakes.clock import FakeClock, settle
from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.hands import Hands
from webhook_runner.broker.amqp.session import Session
from webhook_runner.broker.amqp.sweep import Sweeper
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.policy.delay import WHEEL


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


class Spawner:
    """Stands for the hands: they send what goes home, which here finds no queue again."""

    largest = 1.0

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()


async def sweep_twice(unrouted: Unrouted) -> None:
    session, hands = cast("Session", unrouted), cast("Hands", Spawner())
    sweeper = Sweeper(session, WHEEL, hands, lambda _level, _position: False)
    await sweeper._everything()
    await sweeper._everything()


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
    session, hands = cast("Session", unrouted), cast("Hands", Spawner())
    sweeper = Sweeper(session, WHEEL, hands, lambda _level, _position: False)
    sweeping = asyncio.create_task(sweeper.run(settle))
    await unrouted.clock.advance(2)
    await settle()
    assert unrouted.looks == 2
    sweeping.cancel()
