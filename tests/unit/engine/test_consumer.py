"""What of the wheel a queue takes at once, and what is to go through its work queue."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.fakes.broker import RecordingBroker
from tests.fakes.clock import FakeClock, settle
from tests.fakes.observer import RecordingObserver
from tests.unit.policy.samples import queue
from webhook_runner.engine.consumer import QueueConsumer
from webhook_runner.engine.executor import Executor
from webhook_runner.engine.lane import Lane
from webhook_runner.policy.rate import prefetch
from webhook_runner.ports import Delivery
from webhook_runner.task.model import Message

CONCURRENCY = 3
MOST = CONCURRENCY + prefetch(CONCURRENCY, math.inf)


class Endless(Executor):
    """No request of it ever ends; ``met`` counts deliveries with a slot (True) and without."""

    def __init__(self) -> None:
        self.met = Counter[bool]()

    async def execute(self, delivery: Delivery, *, entered: bool = False) -> None:
        del delivery
        self.met[entered] += 1
        await asyncio.get_running_loop().create_future()


class Queue:
    """A queue of which no request ends."""

    def __init__(self, rate: str = "unlimited") -> None:
        clock = FakeClock()
        settings = queue(concurrency=CONCURRENCY, rate=rate, bucket_size=1)
        self.executor = Endless()
        self.consumer = QueueConsumer(
            Lane("q", settings, "", clock),
            self.executor,
            RecordingBroker(clock, RecordingObserver()),
            clock,
        )

    async def takes(self, number: int) -> int:
        """How many of so many that are due it takes."""
        taken = sum(self.consumer.take_now(Delivery("q", Message(b"{}"))) for _ in range(number))
        await settle()
        assert taken == self.executor.met.total()
        return taken


@pytest.fixture
async def queues() -> AsyncIterator[list[Queue]]:
    made = list[Queue]()
    yield made
    for each in made:
        for running in each.consumer._tasks:
            running.cancel()
        await each.consumer.drained()


async def test_of_what_is_due_while_all_slots_are_taken_a_few_wait_for_one(
    queues: list[Queue],
) -> None:
    queues.append(busy := Queue())
    assert await busy.takes(2 * MOST) == MOST
    assert busy.executor.met == {True: CONCURRENCY, False: MOST - CONCURRENCY}


async def test_what_is_due_does_not_wait_for_a_token(queues: list[Queue]) -> None:
    queues.append(paced := Queue(rate="1/s"))
    assert await paced.takes(MOST) == 1


async def test_a_paused_queue_takes_nothing_of_what_is_due(queues: list[Queue]) -> None:
    queues.append(paused := Queue())
    paused.consumer.hold_back()
    assert await paused.takes(MOST) == 0
