"""One journey per row of the verdict table: what is published, in which order, and the ack."""

import json
from typing import Any

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    BrokerConnected,
    ConsumingChanged,
    RetryScheduled,
    TaskDropped,
    TaskFailed,
    TaskForwarded,
    TaskReceived,
    TaskScheduled,
    TaskSucceeded,
)
from webhook_runner.task.model import Kind
from webhook_runner.task.outcome import (
    Refused,
    Responded,
    TimedOut,
    Trouble,
    Unreachable,
)

PAYLOAD = b'{"n": 9007199254740993, "b": 1, "a": [1.0, 1e2, "\\u00e9"]}'


def message(**fields: Any) -> bytes:
    """A message whose payload no JSON library would write like this."""
    rest = json.dumps({"url": "/x", "id": "t", **fields})
    return rest[:-1].encode() + b', "payload": ' + PAYLOAD + b"}"


async def test_a_success_is_acknowledged_and_nothing_follows(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/a", "id": "t", "payload": {"k": 1}})
    await world.settle()

    assert world.dispatcher.urls == ["http://app.test/a"]
    assert world.dispatcher.bodies == [b'{"k": 1}']
    assert world.broker.log == [("ack", "default")]
    assert world.observer.last(TaskSucceeded).envelope.task.id == "t"
    assert world.is_idle()


async def test_the_events_of_a_success_come_in_order(start: StartWorld) -> None:
    world = await start()
    world.send({"url": "/a", "id": "t"})
    await world.observer.wait_for(TaskSucceeded)

    of_broker = (BrokerConnected, ConsumingChanged)
    told = [type(event) for event in world.observer.events if not isinstance(event, of_broker)]
    assert told == [
        TaskReceived,
        AttemptStarted,
        AttemptFinished,
        TaskSucceeded,
    ]


async def test_a_task_without_an_id_gets_one_in_the_broker_before_its_first_request(
    start: StartWorld,
) -> None:
    world = await start()
    world.send({"url": "/a"})
    await world.settle()

    assert world.broker.log == [("enqueue", "made-1"), ("ack", "default"), ("ack", "default")]
    assert world.dispatcher.sent[0][1].task.id == "made-1"
    assert world.observer.last(TaskForwarded).errand == "named"
    assert len(world.dispatcher.sent) == 1


async def test_a_retry_is_published_before_the_ack_with_an_identical_body(
    start: StartWorld,
) -> None:
    world = await start(min_backoff_seconds=10, jitter=0)
    world.dispatcher.will(Responded(500))
    world.send(message())
    await world.settle()

    assert world.broker.log == [("park", "t"), ("ack", "default")]
    [(_, following)] = world.broker.published
    assert (following.attempt, following.gen, following.last_status) == (2, 1, 500)
    assert following.task.source == message()
    assert world.observer.last(RetryScheduled).delay == 10

    await world.at(9.999)
    assert len(world.dispatcher.sent) == 1
    await world.at(10.0)
    assert world.dispatcher.bodies == [PAYLOAD, PAYLOAD]
    assert world.dispatcher.sent[1][0].headers["Webhook-Runner-Attempt"] == "2"
    assert world.dispatcher.sent[1][0].headers["Webhook-Runner-Previous-Status"] == "500"
    assert world.is_idle()


async def test_retries_follow_the_backoff_until_they_are_used_up(start: StartWorld) -> None:
    world = await start(min_backoff_seconds=10, max_backoff_seconds=200, max_doublings=3, jitter=0)
    world.dispatcher.will(*[Unreachable(Trouble.CONNECT)] * 8)
    world.send({"url": "/x", "max_retries": 7})
    await world.at(10_000)

    delays = [event.delay for event in world.observer.all(RetryScheduled)]
    assert delays == [10, 20, 40, 80, 160, 200, 200]
    assert len(world.dispatcher.sent) == 8
    assert world.observer.last(TaskFailed).failure.reason == "retries_exhausted"
    assert world.is_idle()


async def test_a_permanent_failure_publishes_roll_back_then_dead_letter_then_acknowledges(
    start: StartWorld,
) -> None:
    world = await start()
    world.dispatcher.will(Responded(500))
    source = message(max_retries=0, roll_back="/undo", metadata={"m": 1})
    world.send(source)
    await world.settle()

    assert world.broker.log[:3] == [("enqueue", "t~rb"), ("bury", "t"), ("ack", "default")]
    [(buried, summary)] = world.broker.dead
    assert buried.task.source == source
    assert json.loads(summary)["reason"] == "retries_exhausted"
    request, envelope = world.dispatcher.sent[1]
    assert envelope.kind is Kind.ROLLBACK
    assert request.url == "http://app.test/undo"
    assert PAYLOAD in request.body
    assert request.headers["Webhook-Runner-Event"] == "rollback"
    assert request.headers["Webhook-Runner-Task-Id"] == "t"
    assert request.headers["Webhook-Runner-Failure-Reason"] == "retries_exhausted"
    assert world.observer.all(TaskFailed)[0].rolled_back
    assert world.is_idle()


async def test_a_roll_back_is_not_called_on_success(start: StartWorld) -> None:
    world = await start()
    world.send(message(roll_back="/undo"))
    await world.settle()

    assert world.dispatcher.urls == ["http://app.test/x"]


async def test_a_roll_back_is_retried_and_buried_when_exhausted(start: StartWorld) -> None:
    world = await start(rollback_retry_limit=2, jitter=0)
    world.dispatcher.will(*[Responded(500)] * 4)
    world.send(message(max_retries=0, roll_back="/undo"))
    await world.at(100)

    assert world.dispatcher.urls == ["http://app.test/x"] + ["http://app.test/undo"] * 3
    assert [envelope.task.id for envelope, _ in world.broker.dead] == ["t", "t~rb"]
    assert len(set(world.dispatcher.bodies[1:])) == 1
    assert not world.observer.last(TaskFailed).rolled_back
    assert world.is_idle()


async def test_a_roll_back_outlives_the_expiry_of_its_task(start: StartWorld) -> None:
    world = await start(min_backoff_seconds=30, jitter=0)
    world.dispatcher.will(Responded(500), Responded(500))
    world.send(message(max_retries=0, roll_back="/undo", expires=world.start + 10))
    await world.at(100)

    assert world.dispatcher.urls == ["http://app.test/x"] + ["http://app.test/undo"] * 2
    assert world.is_idle()


async def test_a_refused_request_is_final_and_rolled_back(start: StartWorld) -> None:
    world = await start()
    world.dispatcher.will(Refused("extension", "no credit"))
    world.send(message(roll_back="/undo"))
    await world.settle()

    assert world.observer.last(TaskFailed).failure.reason == "non_retryable"
    assert json.loads(world.broker.dead[0][1])["last_error"] == "extension"
    assert len(world.dispatcher.sent) == 2
    assert world.is_idle()


async def test_a_retry_that_would_come_too_late_expires_the_task_at_once(
    start: StartWorld,
) -> None:
    world = await start(min_backoff_seconds=60, jitter=0)
    world.dispatcher.will(TimedOut(60.0))
    world.send(message(roll_back="/undo", expires=world.start + 60))
    await world.settle()

    failed = world.observer.all(TaskFailed)[0]
    assert failed.expired
    assert (failed.failure.reason, failed.failure.detail) == ("expired", "expires_before_retry")
    assert world.dispatcher.urls[1:] == ["http://app.test/undo"]
    assert world.since_start() == 0


async def test_a_bad_answer_to_snooze_costs_no_attempt(start: StartWorld) -> None:
    world = await start()
    world.dispatcher.will(Responded(503, {"webhook-runner-retry": "snooze=30"}))
    world.send({"url": "/x", "id": "t", "max_retries": 0})
    await world.settle()

    scheduled = world.observer.last(TaskScheduled)
    assert (scheduled.why, scheduled.envelope.attempt) == ("snoozed", 1)
    await world.at(30)
    assert [envelope.attempt for _, envelope in world.dispatcher.sent] == [1, 1]
    assert world.is_idle()


async def test_a_message_settled_before_is_only_acknowledged(start: StartWorld) -> None:
    world = await start(jitter=0)
    world.dispatcher.will(Responded(500))
    world.send({"url": "/x", "id": "t"})
    await world.settle()
    [(_, copy)] = world.broker.published
    await world.broker.park(copy)  # the confirm of the first publish was lost
    await world.at(100)

    assert len(world.dispatcher.sent) == 2
    assert world.observer.last(TaskDropped).reason == "settled_before"
    assert world.is_idle()


async def test_two_copies_of_one_retry_never_run_beside_each_other(start: StartWorld) -> None:
    world = await start(jitter=0)
    hang = Hang()
    world.dispatcher.will(Responded(500), hang)
    world.send({"url": "/x", "id": "t"})
    await world.settle()
    await world.broker.park(world.broker.published[0][1])
    await world.at(10)
    assert world.dispatcher.running == 1
    hang.answer(Responded(500))
    await world.at(1000)

    assert world.dispatcher.most == 1
    assert [envelope.attempt for _, envelope in world.dispatcher.sent] == [1, 2, 3]
    assert world.is_idle()


async def test_doubt_about_an_attempt_stays_until_the_endpoint_answers(
    start: StartWorld,
) -> None:
    world = await start(jitter=0)
    world.dispatcher.will(TimedOut(60.0), Unreachable(Trouble.DNS), Responded(500))
    world.send({"url": "/x", "id": "t"})
    await world.at(100)

    doubts = ["Webhook-Runner-Possible-Duplicate" in r.headers for r, _ in world.dispatcher.sent]
    assert doubts == [False, True, True, False]
