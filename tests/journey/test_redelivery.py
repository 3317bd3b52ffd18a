"""What another daemon, or the next one, does with a message whose outcome the store knows."""

import asyncio

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.task.event import TaskDropped
from webhook_runner.task.outcome import Responded
from webhook_runner.task.record import TaskQuery

MEMORY = "sqlite::memory:"


def dies_at(world: World, call: str) -> None:
    """Let a task come no further than where it calls this of its broker."""

    async def never(*_: object) -> None:
        raise asyncio.CancelledError

    setattr(world.broker, call, never)


async def heir(start: StartWorld, world: World, **queue: object) -> World:
    """Start the next daemon: what the dead one had in hand is handed over again."""
    await world.settle()
    next_one = await start(store=world.store, consuming=False, **queue)
    next_one.clock._passed = world.clock._passed + 5
    next_one.broker.inherit(world.broker)
    await next_one.consumer.start()
    await next_one.settle()
    return next_one


async def states(world: World) -> list[tuple[str, str]]:
    page = await world.store.tasks(TaskQuery())
    return sorted((record.id, record.state.value) for record in page.tasks)


async def test_a_success_that_was_recorded_is_not_asked_for_again(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    dies_at(world, "ack")
    world.send({"id": "t1", "url": "/x"})
    after = await heir(start, world)

    assert after.dispatcher.sent == []
    assert after.observer.last(TaskDropped).reason == "settled_before"
    assert after.is_idle()
    assert await states(after) == [("t1", "succeeded")]


async def test_a_failure_that_was_recorded_is_not_undone_twice(start: StartWorld) -> None:
    world = await start(store=MEMORY, retry_limit=0)
    world.dispatcher.will(Responded(500), Hang())
    dies_at(world, "ack")
    world.send({"id": "t1", "url": "/x", "roll_back": "/undo"})
    after = await heir(start, world, retry_limit=0)

    assert after.dispatcher.urls == ["http://app.test/undo"]
    assert after.broker.dead == []
    assert await states(after) == [("t1", "failed"), ("t1~rb", "succeeded")]


async def test_a_roll_back_that_was_recorded_is_not_called_again(start: StartWorld) -> None:
    world = await start(store=MEMORY, retry_limit=0)
    world.dispatcher.will(Responded(500))
    dies_at(world, "ack")
    world.send({"id": "t1", "url": "/x", "roll_back": "/undo"})
    after = await heir(start, world, retry_limit=0)

    assert world.dispatcher.urls == ["http://app.test/x", "http://app.test/undo"]
    assert after.dispatcher.sent == []
    assert after.is_idle()


async def test_an_attempt_without_an_outcome_is_made_again_as_the_same_run(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY)
    world.dispatcher.will(Hang())
    world.send({"id": "t1", "url": "/x"})
    after = await heir(start, world)

    (_, first), (_, second) = *world.dispatcher.sent, *after.dispatcher.sent
    assert (second.run, second.attempt, second.doubtful) == (first.run, 1, True)
    assert await states(after) == [("t1", "succeeded")]


async def test_a_countdown_that_comes_again_goes_on_from_where_it_was(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    dies_at(world, "park")
    world.send({"id": "t1", "url": "/x", "countdown": 60})
    after = await heir(start, world)

    await after.at(60)
    assert after.dispatcher.sent == []
    await after.at(60.002)
    assert len(after.dispatcher.sent) == 1
    assert await states(after) == [("t1", "succeeded")]


async def test_of_two_equal_messages_each_is_run_although_both_come_again(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY)
    world.dispatcher.will(Hang(), Hang())
    world.send({"id": "t1", "url": "/x"})
    world.send({"id": "t1", "url": "/x"})
    after = await heir(start, world)
    assert len(after.dispatcher.sent) == 2
    assert after.is_idle()


async def test_of_two_tasks_of_one_id_each_goes_on_as_the_run_that_it_was(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY)
    world.dispatcher.will(Hang(), Hang())
    world.send({"id": "t1", "url": "/x"})
    world.send({"id": "t1", "url": "/other"})
    after = await heir(start, world)

    before = {request.url: envelope.run for request, envelope in world.dispatcher.sent}
    assert {request.url: envelope.run for request, envelope in after.dispatcher.sent} == before
    assert await states(after) == [("t1", "succeeded"), ("t1", "succeeded")]


@pytest.mark.parametrize("later", [3_601, 2.5])
async def test_what_was_published_after_the_last_run_began_is_a_new_task(
    start: StartWorld, later: float
) -> None:
    world = await start(store=MEMORY)
    world.send({"id": "t1", "url": "/x"})
    await world.settle()
    dies_at(world, "ack")
    # Handed over to a daemon that died before it could note anything of it.
    await world.at(later)
    stamp = world.clock.now() if later < 10 else None
    world.consumer.receive = lambda delivery: None  # type: ignore[method-assign]
    world.send({"id": "t1", "url": "/x"}, timestamp=stamp)
    after = await heir(start, world)
    assert len(after.dispatcher.sent) == 1
