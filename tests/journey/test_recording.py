"""What the store knows of a task after each step of its way, and what is awaited before an ack."""

import pytest

from tests.fakes.clock import settle
from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.task.outcome import Refused, Responded, TimedOut, Trouble, Unreachable
from webhook_runner.task.record import Attempt, RollbackState, TaskRecord
from webhook_runner.task.state import TaskState

MEMORY = "sqlite::memory:"


async def known(world: World, task_id: str = "t1") -> TaskRecord:
    record = await world.store.find(task_id)
    assert record is not None
    return record


async def attempts(world: World, task_id: str = "t1") -> list[Attempt]:
    return await world.store.attempts(task_id, (await known(world, task_id)).run)


async def test_a_task_that_succeeds_is_known_with_its_attempt(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    world.dispatcher.will(Responded(204, {"date": "today"}, b"thanks", note="cut"))
    source = world.send({"id": "t1", "url": "/x"})
    await world.settle()

    record = await known(world)
    assert (record.state, record.attempt, record.last_status) == (TaskState.SUCCEEDED, 1, 204)
    assert (record.source, record.url, record.queue) == (source, "/x", "default")
    assert record.started_at == record.ended_at == world.start
    (made,) = await attempts(world)
    assert (made.attempt, made.outcome, made.status, made.detail) == (1, "responded", 204, "cut")
    assert (made.headers, made.body) == ({"date": "today"}, b"thanks")
    assert world.is_idle()


async def test_a_running_task_is_seen_to_run(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    world.dispatcher.will(Hang())
    world.send({"id": "t1", "url": "/x"})
    await world.settle()
    record = await known(world)
    assert (record.state, record.attempt, record.ended_at) == (TaskState.RUNNING, 1, None)


@pytest.mark.parametrize(
    ("met", "told"),
    [
        (Responded(503), ("responded", 503, "")),
        (TimedOut(60.0), ("timed_out", None, "timeout")),
        (Unreachable(Trouble.DNS, "no such host"), ("unreachable", None, "dns")),
    ],
)
async def test_a_retry_is_scheduled_with_what_was_met(
    start: StartWorld, met: Responded, told: tuple[str, int | None, str]
) -> None:
    world = await start(store=MEMORY, min_backoff_seconds=10, jitter=0)
    world.dispatcher.will(met, Responded(200))
    world.send({"id": "t1", "url": "/x"})
    await world.settle()

    record = await known(world)
    assert (record.state, record.attempt) == (TaskState.SCHEDULED, 1)
    assert (record.due_at, record.last_status, record.last_error) == (world.start + 10, *told[1:])
    (made,) = await attempts(world)
    assert (made.outcome, made.status, made.error) == told

    await world.at(10)
    record = await known(world)
    assert (record.state, record.attempt, record.last_status) == (TaskState.SUCCEEDED, 2, 200)
    assert record.run == (await known(world)).run
    assert [each.attempt for each in await attempts(world)] == [1, 2]


async def test_a_task_for_later_is_known_from_its_acceptance(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    await world.intake.accept(b'{"id": "t1", "url": "/x", "countdown": 60}')
    record = await known(world)
    assert (record.state, record.due_at) == (TaskState.SCHEDULED, world.start + 60)
    await world.at(60)
    assert (await known(world)).state is TaskState.SUCCEEDED


async def test_a_failed_task_tells_of_its_roll_back(start: StartWorld) -> None:
    world = await start(store=MEMORY, retry_limit=0)
    world.dispatcher.will(Responded(500), Hang())
    world.send({"id": "t1", "url": "/x", "roll_back": "/undo"})
    await world.settle()
    record = await known(world)
    assert (record.state, record.reason) == (TaskState.FAILED, "retries_exhausted")
    assert (record.last_status, record.rollback) == (500, RollbackState.PENDING)
    undoing = await known(world, "t1~rb")
    assert (undoing.state, undoing.origin, undoing.run) == (TaskState.RUNNING, "t1", record.run)


@pytest.mark.parametrize(
    ("met", "state"),
    [(Responded(200), RollbackState.DELIVERED), (Refused("egress"), RollbackState.FAILED)],
)
async def test_the_end_of_a_roll_back_is_told_of_its_task(
    start: StartWorld, met: Responded | Refused, state: RollbackState
) -> None:
    world = await start(store=MEMORY, retry_limit=0)
    world.dispatcher.will(Responded(500), met)
    world.send({"id": "t1", "url": "/x", "roll_back": "/undo"})
    await world.settle()
    assert (await known(world)).rollback is state


async def test_a_task_without_an_id_is_known_once_it_has_one(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    world.send({"url": "/x"})
    await world.settle()
    assert (await known(world, "made-1")).state is TaskState.SUCCEEDED


async def test_what_is_given_back_is_ready(start: StartWorld) -> None:
    world = await start(store=MEMORY, concurrency=1)
    world.dispatcher.will(Hang())
    world.send({"id": "busy", "url": "/x"})
    world.send({"id": "t1", "url": "/x"})
    await world.settle()
    await world.consumer.pause()
    await world.settle()
    assert (await known(world)).state is TaskState.READY
    assert (await known(world, "busy")).state is TaskState.RUNNING


async def test_the_end_is_written_before_the_acknowledgement(start: StartWorld) -> None:
    world = await start(store=MEMORY, retry_limit=0)
    world.dispatcher.will(Responded(500))
    order: list[str] = []
    kept, ack = world.store.kept, world.broker.ack

    async def watched_kept() -> None:
        await kept()
        order.append((await known(world)).state)

    async def watched_ack(delivery: object) -> bool:
        order.append("ack")
        return await ack(delivery)  # type: ignore[arg-type]

    world.store.kept = watched_kept  # type: ignore[method-assign]
    world.broker.ack = watched_ack  # type: ignore[method-assign]
    world.send({"id": "t1", "url": "/x"})
    await settle()
    assert order == ["failed", "ack"]
    assert world.broker.log[-2:] == [("bury", "t1"), ("ack", "default")]
