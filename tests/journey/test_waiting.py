"""Waits: countdown, eta, expiry at each door, and the way from one queue to another."""

import json

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import AttemptStarted, TaskFailed, TaskScheduled
from webhook_runner.task.model import Envelope, Message, Task
from webhook_runner.task.outcome import Responded
from webhook_runner.task.progress import HANDED, progress_headers

TWO = {"default": QueueSettings(), "other": QueueSettings()}


async def test_a_task_that_is_not_due_is_parked_once_and_never_sent_early(
    start: StartWorld,
) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 3600})
    await world.settle()
    assert world.broker.log == [("park", "t"), ("ack", "default")]
    assert world.broker.unsettled == 0

    await world.at(3599.999)
    assert world.dispatcher.sent == []
    await world.at(3600)
    assert len(world.dispatcher.sent) == 1
    assert world.observer.last(AttemptStarted).lag == 0
    assert [place for place, _ in world.broker.published] == ["wait"]
    assert world.is_idle()


@pytest.mark.parametrize("countdown", [0.0004, 1.00049, 2.71828, 59.9996, 1e6 + 0.0001])
async def test_a_fraction_of_a_millisecond_is_never_taken_off(
    start: StartWorld, countdown: float
) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": countdown})
    await world.at(countdown + 1)

    started = world.observer.last(AttemptStarted)
    assert started.lag >= 0
    assert started.envelope.due_at >= world.start + countdown
    assert started.envelope.last_attempt_at is not None
    assert started.envelope.last_attempt_at >= world.start + countdown


async def test_a_short_delay_is_held_in_the_process_and_nothing_is_published(
    start: StartWorld,
) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 1.25})
    await world.at(1.249)
    assert world.dispatcher.sent == []
    assert world.broker.log == []
    await world.at(1.25)

    assert len(world.dispatcher.sent) == 1
    assert world.broker.log == [("ack", "default")]


async def test_a_countdown_that_was_held_by_a_process_that_died_begins_only_once_more(
    start: StartWorld,
) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 1.25})
    await world.at(1)
    world.broker.lose_connection()
    await world.at(2)
    world.broker.lose_connection()
    await world.at(2.25)

    assert len(world.dispatcher.sent) == 1
    assert world.broker.log == [("park", "t"), ("ack", "default"), ("ack", "default")]


async def test_what_is_held_takes_no_slot(start: StartWorld) -> None:
    world = await start(concurrency=1)
    world.send({"url": "/later", "id": "a", "countdown": 1})
    world.send({"url": "/now", "id": "b"})
    await world.settle()

    assert world.dispatcher.urls == ["http://app.test/now"]
    await world.at(1)
    assert world.dispatcher.urls[1:] == ["http://app.test/later"]


async def test_a_countdown_of_nothing_starts_at_once(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 0})
    await world.settle()

    assert len(world.dispatcher.sent) == 1


async def test_an_eta_wins_over_a_countdown(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 5, "eta": world.start + 100})
    await world.at(99.999)
    assert world.dispatcher.sent == []
    await world.at(100)

    assert len(world.dispatcher.sent) == 1


async def test_a_past_eta_starts_at_once_even_beside_a_countdown(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 500, "eta": world.start - 100})
    await world.settle()

    assert len(world.dispatcher.sent) == 1


async def test_a_countdown_is_not_counted_again_after_it_has_waited(start: StartWorld) -> None:
    world = await start(min_backoff_seconds=10, jitter=0)
    world.dispatcher.will(Responded(500))
    world.send({"url": "/x", "countdown": 100})
    await world.at(110)

    assert len(world.dispatcher.sent) == 2
    assert world.is_idle()


async def test_a_task_past_its_expiry_is_not_sent(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "expires": world.start, "roll_back": "/undo"})
    await world.settle()

    assert world.broker.log[:3] == [("enqueue", "t~rb"), ("bury", "t"), ("ack", "default")]
    assert world.dispatcher.urls == ["http://app.test/undo"]
    body = json.loads(world.dispatcher.bodies[0])
    assert body["failure"]["reason"] == "expired"
    assert body["failure"]["attempts"] == 0


async def test_a_task_due_after_its_expiry_is_expired_on_receipt(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "eta": world.start + 100, "expires": world.start + 100})
    world.send({"url": "/x", "countdown": 100, "expires": world.start + 99})
    await world.settle()

    assert [event.expired for event in world.observer.all(TaskFailed)] == [True, True]
    assert world.dispatcher.sent == []
    assert world.is_idle()


async def test_a_task_that_waits_for_a_slot_past_its_expiry_is_not_sent(
    start: StartWorld,
) -> None:
    world = await start(concurrency=1)
    hang = Hang()
    world.dispatcher.will(hang)
    world.send({"url": "/slow", "id": "a"})
    world.send({"url": "/x", "id": "b", "expires": world.start + 10})
    await world.at(10)
    hang.answer()
    await world.settle()

    assert world.dispatcher.urls == ["http://app.test/slow"]
    assert world.observer.last(TaskFailed).expired
    assert world.is_idle()


async def test_a_task_that_waits_for_a_token_past_its_expiry_gives_the_token_back(
    start: StartWorld,
) -> None:
    world = await start(rate="6/m")
    world.send({"url": "/1", "id": "a"})
    world.send({"url": "/2", "id": "b", "expires": world.start + 5})
    world.send({"url": "/3", "id": "c"})
    await world.at(10)

    assert world.dispatcher.urls == ["http://app.test/1", "http://app.test/3"]
    assert world.observer.last(TaskFailed).expired


async def test_a_task_that_leaves_the_wheel_late_is_expired(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "countdown": 100, "expires": world.start + 200})
    await world.settle()
    await world.consumer.pause()
    await world.at(200)
    await world.consumer.resume()
    await world.settle()

    assert world.dispatcher.sent == []
    assert world.observer.last(TaskFailed).expired


async def test_a_running_request_is_not_cut_by_its_expiry(start: StartWorld) -> None:
    world = await start()
    hang = Hang()
    world.dispatcher.will(hang)
    world.send({"url": "/x", "id": "t", "expires": world.start + 10})
    await world.at(20)
    assert world.dispatcher.running == 1
    hang.answer()
    await world.settle()

    assert world.broker.dead == []
    assert world.is_idle()


async def test_expires_aborts_shortens_the_timeout(start: StartWorld) -> None:
    world = await start(expires_aborts=True)
    world.send({"url": "/x", "id": "t", "expires": world.start + 10})
    await world.settle()

    assert world.dispatcher.sent[0][0].timeout == 10


async def test_the_queue_field_moves_a_task_on_by_a_confirmed_publish(start: StartWorld) -> None:
    world = await start(TWO)
    source = world.send({"url": "/x", "id": "t", "queue": "other"})
    await world.settle()

    assert world.broker.log == [("enqueue", "t"), ("ack", "default"), ("ack", "other")]
    assert world.broker.published[0][1].task.source == source
    assert world.dispatcher.sent[0][0].headers["Webhook-Runner-Queue"] == "other"
    assert world.is_idle()


async def test_a_task_moved_on_waits_in_its_own_queue(start: StartWorld) -> None:
    world = await start(TWO)
    world.send({"url": "/x", "id": "t", "queue": "other", "countdown": 100})
    await world.at(100)

    assert world.broker.log[:2] == [("enqueue", "t"), ("ack", "default")]
    assert world.observer.last(TaskScheduled).envelope.task.queue == "other"
    assert len(world.dispatcher.sent) == 1
    assert world.is_idle()


async def test_a_path_is_joined_to_the_base_of_the_queue_it_is_moved_to(
    start: StartWorld,
) -> None:
    queues = {"plain": QueueSettings(), "based": QueueSettings(base_url="http://b.test/v1")}
    world = await start(queues, whole={"base_url": "", "default_queue": "plain"})
    world.send({"url": "/x", "id": "t", "queue": "based"})
    world.send({"url": "/x", "id": "u"})
    await world.settle()

    assert world.dispatcher.urls == ["http://b.test/v1/x"]
    assert [reason for _, reason, _ in world.broker.invalid] == ["no_base_url"]
    assert world.is_idle()


async def test_an_unknown_queue_is_invalid(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/x", "queue": "nope"})
    await world.settle()

    [(_, reason, explanation)] = world.broker.invalid
    assert reason == "unknown_queue"
    assert "default" in explanation


async def test_an_unknown_queue_may_mean_the_default_one(start: StartWorld) -> None:
    whole = {"unknown_queue": "default", "default_queue": "other"}
    world = await start(TWO, whole=whole)
    world.send({"url": "/x", "id": "t", "queue": "nope"})
    world.dispatcher.will(Responded(500))
    await world.at(100)

    queues = [request.headers["Webhook-Runner-Queue"] for request, _ in world.dispatcher.sent]
    assert queues == ["other", "other"]
    assert world.is_idle()


async def test_a_host_that_is_not_allowed_is_invalid(start: StartWorld) -> None:
    world = await start(allow_hosts=("app.test",))
    world.send({"url": "http://evil.test/x", "id": "a"})
    world.send({"url": "/x", "id": "b", "roll_back": "http://evil.test/x"})
    world.send({"url": "/x", "id": "c"})
    await world.settle()

    assert [reason for _, reason, _ in world.broker.invalid] == ["host_not_allowed"] * 2
    assert world.dispatcher.urls == ["http://app.test/x"]


async def test_a_task_older_than_it_may_become_fails(start: StartWorld) -> None:
    world = await start(max_task_age=100, min_backoff_seconds=60, jitter=0)
    world.dispatcher.will(Responded(500), Responded(500))
    world.send({"url": "/x", "id": "t"})
    await world.at(1000)

    assert len(world.dispatcher.sent) == 2
    assert world.observer.last(TaskFailed).failure.reason == "max_age"
    assert world.is_idle()


def handed_over(world: World, due_in: float) -> None:
    """Deliver a copy that another daemon's clock called due, which ours does not."""
    source = json.dumps({"url": "/x", "id": "t"}).encode()
    task = Task(id="t", queue="default", url="/x", source=source)
    ahead = Envelope(task, world.start, world.start + due_in, gen=1)
    headers = {**progress_headers(ahead), HANDED: 1}
    world.broker.submit_copy("default", Message(source, headers))


async def test_a_task_called_due_by_a_clock_ahead_of_ours_is_held_until_it_is(
    start: StartWorld,
) -> None:
    world = await start()
    handed_over(world, 9.5)
    await world.at(9.499)
    assert world.dispatcher.sent == []
    assert world.broker.published == []
    await world.at(9.5)
    assert len(world.dispatcher.sent) == 1


async def test_a_task_called_due_far_too_soon_is_parked_after_a_pause(start: StartWorld) -> None:
    world = await start()
    handed_over(world, 60)
    await world.at(1.249)
    assert world.broker.published == []
    await world.at(1.25)
    assert [place for place, _ in world.broker.published] == ["wait"]
    await world.at(60)
    assert len(world.dispatcher.sent) == 1
