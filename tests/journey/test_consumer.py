"""Pause, resume, stop, drain and interrupt of a queue."""

import asyncio
import gc
from typing import Any

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import AttemptFinished, TaskSucceeded
from webhook_runner.task.outcome import Interrupted, Responded


async def busy(start: StartWorld, running: int = 2, waiting: int = 3) -> tuple[World, list[Hang]]:
    world = await start(concurrency=running)
    hangs = [Hang() for _ in range(running)]
    world.dispatcher.will(*hangs)
    for number in range(running + waiting):
        world.send({"url": "/x", "id": f"t{number}"})
    await world.settle()
    assert world.dispatcher.running == running
    return world, hangs


async def test_a_paused_queue_takes_nothing_new_and_finishes_what_runs(start: StartWorld) -> None:
    world, hangs = await busy(start)
    await world.consumer.pause()
    await world.settle()
    assert world.broker.ready("default") == 3
    for hang in hangs:
        hang.answer()
    world.send({"url": "/x", "id": "new"})
    await world.at(1000)
    assert len(world.dispatcher.sent) == 2
    assert world.broker.unsettled == 0

    await world.consumer.resume()
    await world.settle()
    assert len(world.dispatcher.sent) == 6
    assert world.is_idle()


async def test_a_paused_queue_takes_nothing_from_the_wheel(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 100})
    await world.settle()
    await world.consumer.pause()
    await world.at(200)
    assert world.dispatcher.sent == []
    assert world.broker.ready("default") == 1
    await world.consumer.resume()
    await world.settle()

    assert len(world.dispatcher.sent) == 1


async def test_who_waits_for_a_token_is_given_back_by_a_pause(start: StartWorld) -> None:
    world = await start(rate="2/m")
    for number in range(3):
        world.send({"url": "/x", "id": f"t{number}"})
    await world.settle()
    await world.consumer.pause()
    await world.settle()

    assert world.broker.unsettled == 0
    assert world.broker.ready("default") == 2


async def test_what_the_gate_turns_away_is_given_back_once_and_untouched(
    start: StartWorld,
) -> None:
    world, hangs = await busy(start)
    await world.consumer.pause()
    await world.settle()

    assert world.broker.log == [("release", "default")] * 3
    assert world.broker.deliveries("default") == [1, 1, 1]
    assert world.broker.published == []
    for hang in hangs:
        hang.answer()


async def test_a_drain_lets_running_attempts_finish_and_gives_the_rest_back(
    start: StartWorld,
) -> None:
    world, hangs = await busy(start)
    await world.consumer.stop()
    draining = asyncio.create_task(world.consumer.drained())
    await world.settle()
    assert not draining.done()
    hangs[0].answer()
    hangs[1].answer(Responded(500))
    await draining

    assert world.broker.ready("default") == 3
    assert world.broker.waiting == 1
    [(place, following)] = world.broker.published
    assert (place, following.attempt) == ("wait", 2)
    assert len(world.observer.all(TaskSucceeded)) == 1
    assert world.broker.unsettled == 0
    assert not world.consumer.is_taking


async def test_a_drain_that_has_to_cut_something_off_leaves_no_error_behind(
    start: StartWorld,
) -> None:
    world, _ = await busy(start)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    late = asyncio.Event()
    late.set()
    assert await world.engine.drain(late) == 2
    gc.collect()  # an error that nobody asked for is told when it is thrown away
    assert told == []


async def test_a_stopped_queue_does_not_start_again(start: StartWorld) -> None:
    world = await start(rate="1/h")
    world.send({"url": "/x", "id": "a"})
    world.send({"url": "/x", "id": "b"})
    await world.settle()
    await world.consumer.stop()
    await world.consumer.resume()
    await world.consumer.reconfigure(QueueSettings(), "http://app.test")
    await world.at(10_000)

    assert len(world.dispatcher.sent) == 1
    assert world.broker.ready("default") == 1


async def test_an_interrupt_cuts_requests_off_without_charging_an_attempt(
    start: StartWorld,
) -> None:
    world, _ = await busy(start)
    await world.consumer.stop()
    await world.settle()
    cut = await world.consumer.interrupt()
    world.broker.lose_connection()

    assert cut == 2
    assert world.dispatcher.cancelled == 2
    assert [event.outcome for event in world.observer.all(AttemptFinished)] == [Interrupted()] * 2
    assert world.broker.ready("default") == 5
    assert world.broker.published == []
    assert len(world.executor.inflight) == 0
    assert world.consumer.lane.gate.used == 0


async def test_an_interrupt_lets_a_settlement_finish(start: StartWorld) -> None:
    world, hangs = await busy(start, running=1, waiting=0)
    world.broker.block(blocked=True)
    hangs[0].answer(Responded(500))
    await world.settle()  # the retry waits for the broker
    await world.consumer.stop()
    interrupting = asyncio.create_task(world.consumer.interrupt())
    await world.settle()
    world.broker.block(blocked=False)

    assert await interrupting == 0
    assert world.broker.log == [("park", "t0"), ("ack", "default")]


async def test_a_pause_while_the_broker_is_blocked_starts_nothing_afterwards(
    start: StartWorld,
) -> None:
    world = await start()
    world.broker.block(blocked=True)
    world.send({"url": "/x", "id": "t"})
    await world.settle()
    await world.consumer.pause()
    world.broker.block(blocked=False)
    await world.settle()

    assert world.dispatcher.sent == []
    assert world.broker.ready("default") == 1


async def test_a_pause_while_a_delivery_is_held_gives_it_back(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 1})
    await world.settle()
    await world.consumer.pause()
    await world.at(5)

    assert world.dispatcher.sent == []
    assert world.broker.ready("default") == 1


async def test_the_limits_are_free_again_when_everything_has_ended(start: StartWorld) -> None:
    world, hangs = await busy(start)
    world.send(b"not json")
    world.send({"url": "/x", "id": "late", "expires": world.start})
    world.broker.lose_connection()
    for hang in hangs:
        hang.answer()
    await world.at(100)

    assert world.is_idle()
    assert world.consumer.lane.gate.used == 0
    assert world.executor.crowd._slots.used == 0


async def test_prefetch_is_no_more_than_a_minute_of_the_rate(start: StartWorld) -> None:
    for rate, most in (("1/h", 1), ("10/m", 10), ("unlimited", 50)):
        world = await start(rate=rate)
        assert world.broker.prefetch["default"] == most
