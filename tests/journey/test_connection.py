"""Lost connections, lost acknowledgements, blocked brokers: one request, nothing lost."""

from collections.abc import Callable

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.task.event import RetryScheduled, TaskDropped, TaskFailed, TaskSucceeded
from webhook_runner.task.outcome import Responded

ENDINGS = [(Responded(200), []), (Responded(500), ["park"]), (Responded(404), ["enqueue", "bury"])]


def published(world: World) -> list[str]:
    return [call for call, _ in world.broker.log if call not in {"ack", "release"}]


async def hanging(start: StartWorld, **queue: object) -> tuple[World, Hang]:
    """A world with one request under way, of a task that came from a publisher."""
    world = await start(retry_on="smart", jitter=0, **queue)
    hang = Hang()
    world.dispatcher.will(hang)
    world.send({"url": "/x", "id": "t", "roll_back": "/undo"})
    await world.settle()
    assert world.dispatcher.running == 1
    return world, hang


@pytest.mark.parametrize(("outcome", "steps"), ENDINGS)
@pytest.mark.parametrize("losses", [1, 2, 5])
async def test_a_redelivery_waits_for_the_outcome_and_carries_its_verdict_out(
    start: StartWorld, outcome: Responded, steps: list[str], losses: int
) -> None:
    world, hang = await hanging(start)
    for _ in range(losses):
        world.broker.lose_connection()
        await world.settle()
    assert world.broker.log == []
    hang.answer(outcome)
    await world.settle()

    assert published(world) == steps
    assert world.dispatcher.urls.count("http://app.test/x") == 1
    await world.at(1000)
    assert world.is_idle()


@pytest.mark.parametrize(("outcome", "steps"), ENDINGS)
@pytest.mark.parametrize("losses", [1, 2])
async def test_the_same_holds_for_a_copy_of_ours(
    start: StartWorld, outcome: Responded, steps: list[str], losses: int
) -> None:
    world = await start(retry_on="smart", jitter=0)
    hang = Hang()
    world.dispatcher.will(hang)
    world.send({"url": "/x", "countdown": 100, "roll_back": "/undo"})
    await world.at(100)
    assert world.dispatcher.running == 1
    before = len(published(world))
    for _ in range(losses):
        world.broker.lose_connection()
        await world.settle()
    hang.answer(outcome)
    await world.settle()

    assert published(world)[before:] == steps
    assert world.dispatcher.urls.count("http://app.test/x") == 1
    await world.at(1000)
    assert world.is_idle()


async def test_a_success_is_told_once_although_it_was_delivered_twice(start: StartWorld) -> None:
    world, hang = await hanging(start)
    world.broker.lose_connection()
    await world.settle()
    hang.answer()
    await world.settle()

    assert len(world.observer.all(TaskSucceeded)) == 1


async def test_an_outcome_known_before_the_redelivery_is_carried_out_by_it(
    start: StartWorld,
) -> None:
    world, hang = await hanging(start)
    await world.broker.stop_consuming("default")  # the connection stays away for a while
    world.broker.lose_connection()
    hang.answer(Responded(500))
    await world.settle()
    assert world.broker.log == []
    await world.consumer.start()
    await world.settle()

    assert published(world) == ["park"]
    assert world.observer.last(RetryScheduled).envelope.attempt == 2
    await world.at(100)
    assert len(world.dispatcher.sent) == 2
    assert world.is_idle()


async def test_a_success_whose_ack_was_lost_is_only_acknowledged_when_it_comes_again(
    start: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, hang = await hanging(start)
    ack = world.broker.ack

    async def ack_too_late(delivery: object) -> bool:
        monkeypatch.setattr(world.broker, "ack", ack)
        world.broker.lose_connection()
        return False

    monkeypatch.setattr(world.broker, "ack", ack_too_late)
    hang.answer()
    await world.settle()

    assert len(world.dispatcher.sent) == 1
    assert world.broker.log == [("ack", "default")]
    assert world.observer.last(TaskDropped).reason == "settled_before"
    assert world.is_idle()


async def test_a_retry_whose_ack_was_lost_is_not_published_again(
    start: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, hang = await hanging(start)
    park = world.broker.park

    async def park_and_lose(envelope: object) -> None:
        await park(envelope)  # type: ignore[arg-type]
        world.broker.lose_connection()

    monkeypatch.setattr(world.broker, "park", park_and_lose)
    hang.answer(Responded(500))
    await world.settle()
    monkeypatch.undo()
    await world.at(100)

    assert len(world.dispatcher.sent) == 2
    assert world.is_idle()


async def test_equal_messages_without_ids_are_two_tasks(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x"})
    world.send({"url": "/x"})
    await world.settle()

    assert len(world.dispatcher.sent) == 2
    assert len({envelope.task.id for _, envelope in world.dispatcher.sent}) == 2
    assert world.is_idle()


@pytest.mark.parametrize("loss", range(7))
async def test_equal_messages_with_one_id_both_run_whenever_the_connection_is_lost(
    start: StartWorld, loss: int
) -> None:
    """Two runs of one id: lost at one of several moments, each is requested once."""
    world = await start()
    first, second = Hang(), Hang()
    world.dispatcher.will(first, second)
    steps: list[Callable[[], object]] = [
        lambda: world.send({"url": "/x", "id": "t"}),
        lambda: world.send({"url": "/x", "id": "t"}),
        lambda: None,
        second.answer,
        lambda: None,
        first.answer,
    ]
    for number, step in enumerate(steps):
        if loss in (number, 6):
            world.broker.lose_connection()
        step()
        await world.settle()

    assert len(world.dispatcher.sent) == 2
    assert len(world.observer.all(TaskSucceeded)) == 2
    assert world.is_idle()


async def test_a_new_message_equal_to_a_settled_one_runs(start: StartWorld) -> None:
    world = await start()
    for _ in range(3):
        world.send({"url": "/x", "id": "t"})
        await world.settle()

    assert len(world.dispatcher.sent) == 3


async def test_a_repeated_attempt_says_that_it_may_be_a_duplicate(start: StartWorld) -> None:
    world, _ = await hanging(start)
    await world.consumer.stop()
    await world.consumer.interrupt()  # the process died; another one takes over
    successor = await start(retry_on="smart")
    successor.broker.inherit(world.broker)
    await successor.settle()

    request, envelope = successor.dispatcher.sent[0]
    assert request.headers["Webhook-Runner-Possible-Duplicate"] == "true"
    assert request.headers["Idempotency-Key"] == "t"
    assert envelope.attempt == 1
    assert successor.is_idle()


async def test_no_attempt_starts_while_the_broker_is_blocked_and_nothing_is_lost(
    start: StartWorld,
) -> None:
    world, hang = await hanging(start)
    world.broker.block(blocked=True)
    for number in range(5):
        world.send({"url": f"/{number}", "id": f"n{number}"})
    hang.answer(Responded(500))
    await world.at(500)
    assert len(world.dispatcher.sent) == 1
    assert world.broker.log == []
    world.broker.block(blocked=False)
    await world.at(2000)

    assert len(world.dispatcher.sent) == 7
    assert world.is_idle()


async def test_a_task_that_expires_while_the_broker_is_blocked_is_not_sent(
    start: StartWorld,
) -> None:
    world = await start()
    world.broker.block(blocked=True)
    world.send({"url": "/x", "id": "t", "expires": world.start + 10})
    await world.at(10)
    world.broker.block(blocked=False)
    await world.settle()

    assert world.dispatcher.sent == []
    assert world.observer.last(TaskFailed).expired


async def test_a_connection_lost_while_the_broker_is_blocked_sends_one_request(
    start: StartWorld,
) -> None:
    world = await start(rate="6/h")
    world.broker.block(blocked=True)
    world.send({"url": "/x", "id": "t"})
    await world.settle()
    world.broker.lose_connection()
    await world.settle()
    world.broker.block(blocked=False)
    await world.at(120)  # the token that the lost delivery had taken was given back

    assert len(world.dispatcher.sent) == 1
    assert world.is_idle()


@pytest.mark.parametrize("counts", [True, False])
async def test_a_task_that_kills_its_process_runs_alone_and_then_fails(
    start: StartWorld, *, counts: bool
) -> None:
    """Each death: the request is cut, the connection drops, a new process takes over."""
    world = await start(counts=counts, concurrency=5)
    world.send({"url": "/x", "id": "t", "roll_back": "/undo"})
    starts: list[float] = []
    for _ in range(20):
        killer = Hang()
        world.dispatcher.will(killer, url="http://app.test/x")
        await world.at(world.since_start() + 300)
        if not world.dispatcher.running:
            break
        starts.append(world.dispatcher.sent[-1][1].last_attempt_at or 0)
        await world.consumer.interrupt()
        world.broker.lose_connection()

    alone = [envelope.alone for _, envelope in world.dispatcher.sent]
    assert alone == [0] * 11 + [1, 2, 3] + [0]
    assert world.observer.last(TaskSucceeded).envelope.origin == "t"
    assert world.observer.last(TaskFailed).failure.reason == "crash_loop"
    assert all(envelope.attempt == 1 for _, envelope in world.dispatcher.sent)
    assert world.is_idle()
