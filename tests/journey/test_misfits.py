"""Invalid messages, bugs, and tasks that a reload made impossible: set apart, others go on."""

import asyncio
import json
from typing import Any

import pytest

from tests.journey.conftest import StartWorld
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import (
    TaskFailed,
    TaskRejected,
    Warned,
)
from webhook_runner.task.outcome import (
    Responded,
)


async def test_an_invalid_message_is_set_aside_whole_while_good_ones_go_on(
    start: StartWorld,
) -> None:
    world = await start()
    bad = [b"", b"\xff\xfe", b"[1]", b'{"url": 5}', b'{"a": 1}', b'{"url": "/x", "url": "/x"}']
    for number, source in enumerate(bad):
        world.send(source)
        world.send({"url": f"/good{number}", "id": f"g{number}"})
    await world.settle()

    assert [delivery.message.body for delivery, _, _ in world.broker.invalid] == bad
    assert all(reason and explanation for _, reason, explanation in world.broker.invalid)
    assert len(world.dispatcher.sent) == len(bad)
    assert len(world.observer.all(TaskRejected)) == len(bad)
    assert world.is_idle()


async def test_an_invalid_message_is_published_before_its_ack_and_calls_no_roll_back(
    start: StartWorld,
) -> None:
    world = await start()
    world.send({"url": "/x", "countdown": "10", "roll_back": "/undo"})
    await world.settle()

    assert world.broker.log == [("quarantine", "wrong_type"), ("ack", "default")]
    assert world.dispatcher.sent == []


async def test_what_is_being_set_aside_is_let_finish_when_the_rest_is_cut_off(
    start: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, kept = await start(), asyncio.Event()
    quarantine = world.broker.quarantine

    async def slow(*told: Any) -> None:
        await quarantine(*told)
        await kept.wait()

    monkeypatch.setattr(world.broker, "quarantine", slow)
    world.send(b"[]")
    await world.settle()
    cutting = world.spawn(world.consumer.interrupt())
    await world.settle()
    kept.set()

    assert await cutting == 0
    assert world.broker.log == [("quarantine", "not_an_object"), ("ack", "default")]


async def test_a_bug_met_by_one_task_ends_that_task_and_no_other(start: StartWorld) -> None:
    world = await start(jitter=0)
    world.dispatcher.will(*[ZeroDivisionError("a bug")] * 50, url="http://app.test/bug")
    world.send({"url": "/bug", "id": "bug", "roll_back": "/undo"})
    for number in range(20):
        world.send({"url": "/good", "id": f"g{number}"})
    await world.at(600)

    assert world.dispatcher.urls.count("http://app.test/good") == 20
    assert world.dispatcher.urls.count("http://app.test/bug") == 14
    failed = world.observer.last(TaskFailed)
    assert failed.failure.reason == "crash_loop"
    assert world.dispatcher.urls[-1] == "http://app.test/undo"
    assert "ZeroDivisionError" in world.observer.last(Warned).text
    assert world.is_idle()


async def test_a_bug_met_before_any_attempt_sets_the_message_aside(start: StartWorld) -> None:
    for counts, times in ((True, 12), (False, 2)):
        world = await start(counts=counts)

        def fail() -> str:
            raise ZeroDivisionError

        world.executor._reception._make_id = fail
        world.send({"url": "/x"})
        await world.at(10)

        assert len(world.observer.all(Warned)) == times
        assert [reason for _, reason, _ in world.broker.invalid] == ["internal_error"]
        assert world.is_idle()


async def test_a_task_that_a_reload_made_impossible_fails_as_a_task_does(
    start: StartWorld,
) -> None:
    world = await start(jitter=0)
    world.dispatcher.will(Responded(500))
    world.send({"url": "/x", "id": "t", "roll_back": "http://other.test/undo"})
    await world.settle()
    await world.consumer.reconfigure(QueueSettings(), base_url="")
    await world.at(10)

    assert world.broker.invalid == []
    assert json.loads(world.broker.dead[0][1])["last_error"] == "no_base_url"
    assert world.dispatcher.urls == ["http://app.test/x", "http://other.test/undo"]
    assert world.is_idle()


async def test_a_sender_is_warned_of_what_nobody_reads_and_strict_refuses_it(
    start: StartWorld,
) -> None:
    world = await start()
    world.send({"url": "/x", "id": "t", "colour": "red"})
    await world.settle()
    assert "'colour'" in world.observer.last(Warned).text
    strict = world.settings.model_copy(update={"strict": True})
    world.executor._reception.reconfigure(strict)
    world.send({"url": "/x", "id": "t", "colour": "red"})
    await world.settle()

    assert [reason for _, reason, _ in world.broker.invalid] == ["unknown_field"]
    assert len(world.dispatcher.sent) == 1
