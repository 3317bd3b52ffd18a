"""A task that is called off: wherever it is, and however far."""

import json

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.engine.revocations import cancellation
from webhook_runner.engine.task_control import CancelState
from webhook_runner.errors import ConflictError, UnknownTaskError
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import TaskCancelled, TaskDropped, TaskSucceeded
from webhook_runner.task.outcome import Responded
from webhook_runner.task.state import TaskState

MEMORY = "sqlite::memory:"
WITH_ROLL_BACK = {"id": "t", "url": "/x", "roll_back": "/undo"}


async def accept(world: World, **fields: object) -> None:
    await world.intake.accept(json.dumps({"id": "t", "url": "/x", **fields}).encode())
    await world.settle()


async def state_of(world: World, task_id: str = "t") -> TaskState:
    return (await world.control.tasks.find(task_id)).state


async def test_what_waits_is_cancelled_at_once_and_dropped_when_it_surfaces(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY, company=True)
    await accept(world, countdown=3600)
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    assert await state_of(world) is TaskState.CANCELLED
    assert len(world.observer.all(TaskCancelled)) == 1
    await world.at(3601)
    assert world.is_idle()
    assert not world.dispatcher.sent
    assert len(world.observer.all(TaskCancelled)) == 1  # it was told already
    assert [drop.reason for drop in world.observer.all(TaskDropped)] == ["cancelled"]
    assert not world.broker.dead
    assert await state_of(world) is TaskState.CANCELLED


async def test_cancelling_again_is_the_same_as_once(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    await accept(world, countdown=3600)
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED


async def test_cancelling_reaches_an_earlier_task_of_the_id_though_the_latest_is_cancelled(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY, company=True)
    assert await world.control.tasks.cancel("t", force=True) is CancelState.REQUESTED
    await world.at(1)
    await accept(world, countdown=3600)
    # Without a time of its own it is taken for older than the cancellation.
    world.send({"id": "t", "url": "/other"})
    await world.settle()
    assert await state_of(world) is TaskState.CANCELLED
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    await world.at(3602)
    assert not world.dispatcher.sent
    assert world.is_idle()


async def test_a_cancellation_heard_while_the_next_copy_is_published_reaches_that_copy(
    start: StartWorld,
) -> None:
    world = await start(company=True)
    world.broker.block(blocked=True)
    world.send({"id": "t", "url": "/x", "countdown": 3600})
    await world.settle()
    # Asked before the receipt, heard after it: nobody knows when the message was published.
    world.control.hearing.recall(cancellation("t", 0, world.clock.now() - 0.01))
    world.broker.block(blocked=False)
    await world.settle()
    assert [what for what in world.broker.log if what[0] == "post"] == [("post", "task:t")]
    await world.at(3601)
    assert not world.dispatcher.sent
    assert world.is_idle()


async def test_without_a_store_nobody_can_say_that_what_waits_is_there(start: StartWorld) -> None:
    world = await start(company=True)
    await accept(world, countdown=3600)
    assert await world.control.tasks.cancel("t") is CancelState.REQUESTED
    await world.at(3601)
    assert world.is_idle()
    assert not world.dispatcher.sent


async def test_a_running_request_is_cut_off(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    world.dispatcher.will(Hang())
    await accept(world)
    assert await state_of(world) is TaskState.RUNNING
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    assert world.dispatcher.cancelled == 1
    await world.settle()
    assert world.is_idle()
    assert await state_of(world) is TaskState.CANCELLED
    (attempt,) = await world.control.tasks.attempts("t")
    assert attempt.outcome == "interrupted"


async def test_without_a_store_too_a_cut_request_is_told_as_cancelled(start: StartWorld) -> None:
    world = await start(company=True)
    world.dispatcher.will(Hang())
    await accept(world)
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    assert world.dispatcher.cancelled == 1


async def test_a_request_that_may_finish_is_waited_for(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True, cancel_running="finish")
    hang = Hang()
    world.dispatcher.will(hang)
    await accept(world)
    cancelling = world.spawn(world.control.tasks.cancel("t"))
    await world.settle()
    hang.answer(Responded(500))
    assert await cancelling is CancelState.CANCELLED
    await world.settle()
    assert await state_of(world) is TaskState.CANCELLED
    assert world.is_idle()


async def test_a_request_that_succeeds_meanwhile_stays_a_success(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True, cancel_running="finish")
    hang = Hang()
    world.dispatcher.will(hang)
    await accept(world)
    cancelling = world.spawn(world.control.tasks.cancel("t"))
    await world.settle()
    hang.answer()
    with pytest.raises(ConflictError, match="has succeeded"):
        await cancelling
    await world.settle()
    assert await state_of(world) is TaskState.SUCCEEDED
    assert world.observer.all(TaskSucceeded)


async def test_what_is_not_known_by_the_end_of_the_patience_is_only_requested(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY, company=True, cancel_running="finish")
    world.dispatcher.will(hang := Hang())
    await accept(world)
    cancelling = world.spawn(world.control.tasks.cancel("t"))
    await world.at(3)
    assert await cancelling is CancelState.REQUESTED
    hang.answer(Responded(503))
    await world.settle()
    assert await state_of(world) is TaskState.CANCELLED


async def test_what_waits_for_a_slot_is_dropped_there(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True, concurrency=1)
    world.dispatcher.will(hang := Hang())
    await accept(world, id="first")
    await accept(world)
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    hang.answer()
    await world.settle()
    assert world.is_idle()
    assert [each.envelope.task.id for each in world.observer.all(TaskSucceeded)] == ["first"]


async def test_what_has_ended_is_not_cancelled(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    await accept(world)
    with pytest.raises(ConflictError, match="task t has succeeded"):
        await world.control.tasks.cancel("t")


async def test_a_task_that_comes_later_is_cancelled_when_it_was_forced(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    with pytest.raises(UnknownTaskError):
        await world.control.tasks.cancel("t")
    assert await world.control.tasks.cancel("t", force=True) is CancelState.REQUESTED
    world.send({"id": "t", "url": "/x"}, timestamp=world.clock.now() - 5)
    await world.settle()
    assert not world.dispatcher.sent
    assert await state_of(world) is TaskState.CANCELLED
    world.send({"id": "t", "url": "/x"}, timestamp=world.clock.now() + 5)
    await world.settle()
    assert len(world.dispatcher.sent) == 1


@pytest.mark.parametrize(("wanted", "undone"), [((), 0), (("cancelled",), 1)])
async def test_a_cancelled_task_is_rolled_back_when_its_queue_wants_that(
    start: StartWorld, wanted: tuple[str, ...], undone: int
) -> None:
    world = await start(store=MEMORY, company=True, rollback_on=wanted)
    world.dispatcher.will(Hang(), url="http://app.test/x")
    await accept(world, **WITH_ROLL_BACK)
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    await world.settle()
    assert world.dispatcher.urls.count("http://app.test/undo") == undone
    assert await state_of(world) is TaskState.CANCELLED
    for body in world.dispatcher.bodies[1:]:
        assert json.loads(body)["failure"]["reason"] == "cancelled"
        assert json.loads(body)["failure"]["attempts"] == 1


async def test_a_scheduled_task_is_rolled_back_though_its_end_is_known_already(
    start: StartWorld,
) -> None:
    world = await start(store=MEMORY, company=True, rollback_on=("cancelled",))
    await accept(world, countdown=60, **WITH_ROLL_BACK)
    assert await world.control.tasks.cancel("t") is CancelState.CANCELLED
    await world.at(61)
    assert world.dispatcher.urls == ["http://app.test/undo"]


async def test_many_are_cancelled_in_one_go_each_with_its_answer(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    for number in range(1200):
        await accept(world, id=f"t{number}", countdown=60)
    await accept(world, id="done")
    names = [*(f"t{number}" for number in range(1200)), "done", "unknown"]
    answers = await world.control.tasks.cancel_many(names)
    assert list(answers.values())[:1200] == [CancelState.CANCELLED] * 1200
    assert isinstance(answers["done"], ConflictError)
    assert isinstance(answers["unknown"], UnknownTaskError)
    await world.at(61)
    assert len(world.dispatcher.sent) == 1
    assert world.is_idle()


async def test_a_restarted_daemon_remembers_what_was_cancelled(start: StartWorld) -> None:
    world = await start(company=True)
    await accept(world, countdown=60)
    await world.control.tasks.cancel("t")
    after = await start(consuming=False, company=True)
    after.broker.inherit(world.broker)
    await after.settle()
    await after.consumer.start()
    await after.at(61)
    assert not after.dispatcher.sent
    assert not [drop for drop in after.observer.all(TaskDropped) if drop.reason != "superseded"]
    assert after.observer.all(TaskCancelled)


async def test_a_cancelled_task_that_came_by_another_queue_is_judged_by_its_own(
    start: StartWorld,
) -> None:
    own = QueueSettings(rollback_on=("failed",))
    other = QueueSettings(rollback_on=("cancelled",))
    world = await start({"own": own, "other": other}, company=True)
    await world.control.tasks.cancel("t")
    world.send({**WITH_ROLL_BACK, "queue": "own"}, to="other")
    await world.settle()
    assert len(world.observer.all(TaskCancelled)) == 1
    assert not world.dispatcher.sent


@pytest.mark.parametrize("store", [MEMORY, "none"])
async def test_a_success_whose_acknowledgement_was_lost_stands(
    start: StartWorld, store: str
) -> None:
    world = await start(store=store, company=True)
    hang = Hang()
    world.dispatcher.will(hang)
    await accept(world)
    await world.consumer.pause()
    world.broker.lose_connection()
    hang.answer(Responded(200))
    await world.settle()
    with pytest.raises(ConflictError, match="has succeeded"):
        await world.control.tasks.cancel("t")
    await world.consumer.resume()
    await world.at(10)
    assert [len(world.observer.all(each)) for each in (TaskSucceeded, TaskCancelled)] == [1, 0]
    assert len(world.dispatcher.sent) == 1
    assert world.is_idle()
