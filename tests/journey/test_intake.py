"""Tasks that come in by request walk the same way as those of a publisher, one hop shorter."""

import asyncio
import json
from typing import Any

import pytest

from tests.fakes.broker import RecordingBroker
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dispatcher import Hang, ScriptedDispatcher
from tests.fakes.observer import RecordingObserver
from tests.journey.conftest import StartWorld
from tests.journey.world import BASE, at_work
from webhook_runner.engine.intake import PATIENCE
from webhook_runner.engine.lane import Lane
from webhook_runner.engine.queues import Queues
from webhook_runner.engine.reception import Reception
from webhook_runner.errors import BrokerUnavailableError, InvalidTaskError
from webhook_runner.ports import Delivery
from webhook_runner.settings import QueueSettings, Settings
from webhook_runner.store.nothing import NoStore
from webhook_runner.task.event import (
    TaskAccepted,
    TaskFailed,
    TaskForwarded,
    TaskRefused,
    TaskScheduled,
    TaskSucceeded,
    Warned,
)
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.outcome import Responded

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def message(**fields: Any) -> bytes:
    return json.dumps({"url": "/x", **fields}).encode()


async def test_a_task_without_an_id_is_sent_without_another_hop(start: StartWorld) -> None:
    world = await start()
    envelope = await world.intake.accept(message(), traceparent=TRACE)
    await world.settle()
    assert (envelope.task.id, envelope.gen, envelope.traceparent) == ("made-1", 1, TRACE)
    assert world.dispatcher.urls == ["http://app.test/x"]
    assert world.observer.all(TaskForwarded) == []
    assert world.observer.last(TaskAccepted).envelope == envelope
    assert world.observer.last(TaskSucceeded).envelope.task.id == "made-1"
    assert world.is_idle()


async def test_a_task_for_later_is_parked_and_sent_on_time(start: StartWorld) -> None:
    world = await start()
    await world.intake.accept(message(countdown=60))
    assert [place for place, _ in world.broker.published] == ["wait"]
    assert world.observer.last(TaskScheduled).until == world.start + 60
    await world.at(59.999)
    assert world.dispatcher.sent == []
    await world.at(60)
    assert len(world.dispatcher.sent) == 1


async def test_a_task_that_expires_before_it_is_due_is_undone_at_once(start: StartWorld) -> None:
    world = await start()
    now = world.clock.now()
    await world.intake.accept(message(eta=now + 60, expires=now + 30, roll_back="/undo"))
    await world.settle()
    assert world.observer.all(TaskFailed)[0].expired
    assert world.dispatcher.urls == ["http://app.test/undo"]


async def test_retries_go_on_from_the_first_copy(start: StartWorld) -> None:
    world = await start(min_backoff_seconds=10, jitter=0)
    world.dispatcher.will(Responded(500), Responded(200))
    first = await world.intake.accept(message(id="order-7"))
    await world.at(10)
    copies = [envelope.key for _, envelope in world.broker.published]
    assert copies == [("order-7", first.run, 1), ("order-7", first.run, 2)]
    assert [envelope.attempt for _, envelope in world.dispatcher.sent] == [1, 2]


async def test_a_redelivery_is_known_by_its_copy_and_takes_over_the_outcome(
    start: StartWorld,
) -> None:
    world = await start()
    hang = Hang()
    world.dispatcher.will(hang)
    await world.intake.accept(message())
    await world.settle()
    world.broker.lose_connection()
    await world.settle()
    hang.answer()
    await world.settle()
    assert len(world.dispatcher.sent) == 1
    assert world.is_idle()


async def test_equal_requests_are_tasks_of_their_own(start: StartWorld) -> None:
    world = await start()
    same = message(id="order-7")
    answers = await world.intake.accept_many([same, same])
    answers.append(await world.intake.accept(same))
    world.send(same)
    await world.settle()
    assert len({envelope.key for _, envelope in world.broker.published}) == 3
    assert len(world.dispatcher.sent) == 4
    assert len({envelope.run for _, envelope in world.dispatcher.sent}) == 4


async def test_a_task_goes_to_the_queue_it_names_else_to_the_callers_else_to_the_default(
    start: StartWorld,
) -> None:
    queues = {name: QueueSettings() for name in ("a", "b", "c")}
    world = await start(queues, consuming=False, whole={"default_queue": "c"})
    named = await world.intake.accept(message(queue="a"), "b")
    callers = await world.intake.accept(message(), "b")
    default = await world.intake.accept(message())
    assert [each.task.queue for each in (named, callers, default)] == ["a", "b", "c"]


async def test_an_unknown_queue_is_refused_or_replaced_as_configured(start: StartWorld) -> None:
    strict = await start(consuming=False)
    with pytest.raises(InvalidTaskError) as caught:
        await strict.intake.accept(message(queue="nowhere"))
    assert (caught.value.reason, caught.value.field) == ("unknown_queue", "queue")
    lenient = await start(consuming=False, whole={"unknown_queue": "default"})
    assert (await lenient.intake.accept(message(queue="nowhere"))).task.queue == "default"


async def test_a_default_queue_that_is_not_configured_is_an_unknown_queue(
    start: StartWorld,
) -> None:
    world = await start({"a": QueueSettings()}, consuming=False)
    with pytest.raises(InvalidTaskError, match="'default' is not one of a"):
        await world.intake.accept(message())
    assert (await world.intake.accept(message(queue="a"))).task.queue == "a"


async def test_the_queue_that_will_send_it_says_whether_a_get_has_a_body(start: StartWorld) -> None:
    world = await start(
        {"default": QueueSettings(), "bodies": QueueSettings(body_on_get=True)}, consuming=False
    )
    await world.intake.accept(message(method="GET", payload=1, queue="bodies"))
    with pytest.raises(InvalidTaskError, match="GET has no body"):
        await world.intake.accept(message(method="GET", payload=1))


async def test_addresses_are_checked_at_this_door_too(start: StartWorld) -> None:
    world = await start({"default": QueueSettings(allow_hosts=("app.test",))}, consuming=False)
    with pytest.raises(InvalidTaskError) as caught:
        await world.intake.accept(message(roll_back="http://elsewhere.test/"))
    assert (caught.value.reason, caught.value.field) == ("host_not_allowed", "roll_back")


async def never(envelope: Envelope) -> None:
    await asyncio.Event().wait()


async def broken(envelope: Envelope) -> None:
    raise RuntimeError("canary")


async def test_a_broker_that_does_not_confirm_in_time_is_unavailable(
    start: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await start(consuming=False)
    monkeypatch.setattr(world.broker, "enqueue", never)
    bodies = [message(), b"{}", message(countdown=60)]
    asking = asyncio.create_task(world.intake.accept_many(bodies))
    finishing = asyncio.create_task(world.intake.finish())
    await settle()
    assert not asking.done()
    await world.clock.advance(PATIENCE)
    late, invalid, kept = await asking
    await finishing
    assert isinstance(late, BrokerUnavailableError)
    assert "within 5 s" in str(late)
    assert isinstance(invalid, InvalidTaskError)
    assert isinstance(kept, Envelope)
    refused = [each.reason for each in world.observer.all(TaskRefused)]
    assert refused == ["unavailable", "missing_field"]


async def test_a_publish_that_meets_a_bug_is_told_to_both_sides(
    start: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await start(consuming=False)
    monkeypatch.setattr(world.broker, "enqueue", broken)
    with pytest.raises(BrokerUnavailableError, match="the log says why"):
        await world.intake.accept(message())
    assert "canary" in world.observer.last(Warned).text


async def test_a_blocked_broker_is_not_even_asked(start: StartWorld) -> None:
    world = await start(consuming=False)
    world.broker.block(blocked=True)
    with pytest.raises(BrokerUnavailableError, match="takes nothing now: by a test"):
        await world.intake.accept(message())
    world.broker.block(blocked=False)
    await world.intake.accept(message())


async def test_whoever_stops_asking_stops_the_publish(
    start: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await start(consuming=False)
    monkeypatch.setattr(world.broker, "enqueue", never)
    asking = asyncio.create_task(world.intake.accept(message()))
    await settle()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await world.intake.finish()


async def test_a_queue_that_a_reload_took_away_gets_nothing_new() -> None:
    settings = Settings(base_url=BASE, queues={"default": QueueSettings(), "old": QueueSettings()})
    clock, observer = FakeClock(), RecordingObserver()
    broker = RecordingBroker(clock, observer)
    queues = Queues(
        settings,
        broker,
        NoStore(),
        ScriptedDispatcher(),
        observer,
        clock,
        lambda: 0.0,
        lambda: "made",
    )
    async with at_work(broker):
        assert (await queues.intake.accept(message(queue="old"))).task.queue == "old"
    await queues.reconfigure(
        Settings(base_url=BASE, max_message_bytes=1024, queues={"default": QueueSettings()})
    )
    assert queues.intake.max_message_bytes == 1024
    with pytest.raises(InvalidTaskError, match="'old' is not one of default"):
        await queues.intake.accept(message(queue="old"))


async def test_the_target_of_a_moved_message_says_whether_a_get_has_a_body(
    start: StartWorld,
) -> None:
    world = await start({"default": QueueSettings(), "bodies": QueueSettings(body_on_get=True)})
    task = {"url": "/x", "method": "GET", "payload": 1}
    world.send({**task, "queue": "bodies"}, to="default")
    world.send({**task, "queue": "default"}, to="bodies")
    await world.settle()
    assert len(world.dispatcher.sent) == 1
    assert [reason for _, reason, _ in world.broker.invalid] == ["body_not_allowed"]


async def test_what_came_by_a_queue_that_a_reload_took_away_is_still_read() -> None:
    both = {"default": QueueSettings(), "old": QueueSettings()}
    clock, observer = FakeClock(), RecordingObserver()
    lanes = {name: Lane(name, queue, BASE, clock) for name, queue in both.items()}
    reception = Reception(Settings(queues=both), lanes, clock, observer, lambda: "made")
    reception.reconfigure(Settings(queues={"default": QueueSettings()}))
    assert reception.read(Delivery("old", Message(message()))).task.queue == "old"
    with pytest.raises(InvalidTaskError, match="'old' is not one of default"):
        reception.read(Delivery("default", Message(message(queue="old"))))
