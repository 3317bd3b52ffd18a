"""A task that is called earlier than it waits for, or run again after its end."""

import json

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.engine.task_control import CancelState
from webhook_runner.errors import ConflictError, NoStoreError, UnknownTaskError
from webhook_runner.task.event import TaskDropped
from webhook_runner.task.outcome import Responded
from webhook_runner.task.record import TaskQuery
from webhook_runner.task.state import TaskState

MEMORY = "sqlite::memory:"


async def accept(world: World, **fields: object) -> None:
    await world.intake.accept(json.dumps({"id": "t", "url": "/x", **fields}).encode())
    await world.settle()


def attempts(world: World) -> list[str]:
    return [request.headers["Webhook-Runner-Attempt"] for request, _ in world.dispatcher.sent]


async def test_a_scheduled_task_is_called_now_and_not_again_at_its_time(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    await accept(world, countdown=3600, payload={"n": 1.0})
    record = await world.control.tasks.run_now("t")
    assert record.state in {TaskState.READY, TaskState.RUNNING, TaskState.SUCCEEDED}
    await world.settle()
    assert world.dispatcher.bodies == [b'{"n": 1.0}']
    assert (await world.control.tasks.find("t")).state is TaskState.SUCCEEDED
    await world.at(3601)
    assert world.is_idle()
    assert len(world.dispatcher.sent) == 1
    assert [drop.reason for drop in world.observer.all(TaskDropped)] == ["superseded"]
    assert (await world.control.tasks.find("t")).state is TaskState.SUCCEEDED


async def test_calling_one_task_early_takes_nothing_from_another_of_its_id(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY, company=True)
    for second, url in ((0, "/first"), (1, "/second")):
        await world.at(second)
        world.send({"id": "t", "url": url, "countdown": 60})
        await world.settle()
    await world.control.tasks.run_now("t")
    await world.settle()
    assert world.dispatcher.urls == ["http://app.test/second"]
    await world.at(100)
    assert world.dispatcher.urls == ["http://app.test/second", "http://app.test/first"]
    assert world.is_idle()


async def test_a_retry_is_called_early_with_its_number(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True, min_backoff_seconds=100, retry_limit=2)
    world.dispatcher.will(Responded(500), Responded(500))
    await accept(world)
    await world.control.tasks.run_now("t")
    await world.settle()
    assert attempts(world) == ["1", "2"]
    await world.at(150)
    assert attempts(world) == ["1", "2"]  # the retry that waited was for attempt 2, and is over
    await world.at(250)
    assert attempts(world) == ["1", "2", "3"]
    assert world.is_idle()


async def test_a_snoozed_task_is_called_early_as_the_same_attempt(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    world.dispatcher.will(Responded(503, {"webhook-runner-retry": "snooze=500"}))
    await accept(world)
    await world.control.tasks.run_now("t")
    await world.settle()
    assert attempts(world) == ["1", "1"]


async def test_only_what_waits_can_be_called(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    with pytest.raises(UnknownTaskError):
        await world.control.tasks.run_now("t")
    world.dispatcher.will(Hang())
    await accept(world)
    with pytest.raises(ConflictError, match="is running; only one that is scheduled"):
        await world.control.tasks.run_now("t")


async def test_called_twice_at_once_it_runs_once(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    await accept(world, countdown=3600)
    first = world.spawn(world.control.tasks.run_now("t"))
    second = world.spawn(world.control.tasks.run_now("t"))
    await world.settle()
    await first
    with pytest.raises(ConflictError):
        await second
    await world.at(3601)
    assert len(world.dispatcher.sent) == 1


async def test_without_the_message_there_is_nothing_to_call(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True, whole={"payloads": False})
    await accept(world, countdown=3600)
    with pytest.raises(ConflictError, match=r"\[store\] payloads = true"):
        await world.control.tasks.run_now("t")


async def test_without_a_store_nothing_is_known(start: StartWorld) -> None:
    world = await start(company=True)
    for asked in (world.control.tasks.run_now("t"), world.control.tasks.replay("t")):
        with pytest.raises(NoStoreError, match=r"\[store\] url"):
            await asked


async def test_an_ended_task_runs_again_as_a_new_run(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True, retry_limit=0)
    world.dispatcher.will(Responded(500))
    expires = world.clock.now() + 100
    await accept(world, payload="x", countdown=10, expires=expires, queue="default")
    await world.at(11)
    failed = await world.control.tasks.find("t")
    assert failed.state is TaskState.FAILED
    await world.at(200)  # beyond its expiry
    envelope = await world.control.tasks.replay("t")
    assert (envelope.task.id, envelope.gen, envelope.attempt) == ("t", 1, 1)
    assert envelope.run > failed.run
    await world.settle()
    assert world.dispatcher.bodies == [b"x", b"x"]
    assert (await world.control.tasks.find("t")).state is TaskState.SUCCEEDED
    assert (await world.control.tasks.find("t", failed.run)).state is TaskState.FAILED


async def test_what_was_cancelled_can_be_run_again_and_cancelled_again(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    await accept(world, countdown=60)
    await world.control.tasks.cancel("t")
    world.dispatcher.will(Hang())
    await world.control.tasks.replay("t")
    await world.settle()
    assert len(world.dispatcher.sent) == 1
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    await world.at(61)
    assert world.is_idle()
    assert len(world.dispatcher.sent) == 1


async def test_a_message_with_the_id_of_a_task_just_run_again_is_a_run_of_its_own(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY, company=True)
    await accept(world, countdown=60)
    await world.at(1)
    await world.control.tasks.cancel("t")
    again = await world.control.tasks.replay("t")
    world.send({"id": "t", "url": "/y"}, timestamp=int(world.clock.now()) + 1)
    await world.settle()
    page = await world.store.tasks(TaskQuery())
    states = [TaskState.CANCELLED, TaskState.SUCCEEDED, TaskState.SUCCEEDED]
    assert sorted(task.state for task in page.tasks) == states
    assert max(task.run for task in page.tasks) > again.run
    assert sorted(world.dispatcher.urls) == ["http://app.test/x", "http://app.test/y"]


async def test_what_has_not_ended_is_not_run_again(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    await accept(world, countdown=60)
    with pytest.raises(ConflictError, match="is scheduled; it has not ended"):
        await world.control.tasks.replay("t")


async def test_a_roll_back_that_failed_is_run_again_as_one(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True, retry_limit=0, rollback_retry_limit=0)
    world.dispatcher.will(Responded(500), Responded(502))
    await accept(world, roll_back="/undo")
    assert (await world.control.tasks.find("t~rb")).state is TaskState.FAILED
    await world.control.tasks.replay("t~rb")
    await world.settle()
    request = world.dispatcher.sent[-1][0]
    assert request.headers["Webhook-Runner-Event"] == "rollback"
    assert request.headers["Webhook-Runner-Task-Id"] == "t"
    assert request.body == world.dispatcher.bodies[1]
    assert (await world.control.tasks.find("t~rb")).state is TaskState.SUCCEEDED
