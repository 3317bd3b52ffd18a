"""Concurrency, rate, paused destinations and solitude, seen from outside."""

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from webhook_runner.policy.rate import default_bucket
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import AttemptStarted, TaskFailed, TaskReleased, TaskScheduled
from webhook_runner.task.outcome import Responded

BUSY = {"retry-after": "30"}


async def test_concurrency_is_never_exceeded_and_always_used(start: StartWorld) -> None:
    world = await start(concurrency=3)
    hangs = [Hang() for _ in range(20)]
    world.dispatcher.will(*hangs)
    for number in range(20):
        world.send({"url": "/x", "id": f"t{number}"})
    for hang in hangs:
        await world.settle()
        assert world.dispatcher.running == min(3, sum(not h.outcome.done() for h in hangs))
        hang.answer()
    await world.settle()

    assert world.dispatcher.most == 3
    assert [envelope.task.id for _, envelope in world.dispatcher.sent] == [
        f"t{number}" for number in range(20)
    ]
    assert world.is_idle()


async def test_what_comes_off_the_wheel_keeps_to_the_concurrency_too(start: StartWorld) -> None:
    world = await start(concurrency=2)
    hangs = [Hang() for _ in range(10)]
    world.dispatcher.will(*hangs)
    for number in range(10):
        world.send({"url": "/x", "id": f"t{number}", "countdown": 60})
    await world.at(60)
    assert world.dispatcher.running == 2
    for hang in hangs:
        hang.answer()
        await world.settle()

    assert world.dispatcher.most == 2
    assert len(world.dispatcher.sent) == 10
    assert world.is_idle()


async def test_all_queues_together_keep_to_max_total(start: StartWorld) -> None:
    queues = {"a": QueueSettings(), "b": QueueSettings()}
    world = await start(queues, whole={"max_total": 4, "default_queue": "a"})
    hangs = [Hang() for _ in range(12)]
    world.dispatcher.will(*hangs)
    for number in range(6):
        world.send({"url": "/x", "id": f"a{number}"}, to="a")
        world.send({"url": "/x", "id": f"b{number}"}, to="b")
    await world.settle()
    assert world.dispatcher.running == 4
    for hang in hangs:
        hang.answer()
        await world.settle()

    assert world.dispatcher.most == 4
    assert world.is_idle()


@pytest.mark.parametrize("limits", [{}, {"per_host_concurrency": 8}])
async def test_those_that_waited_for_the_broker_behind_the_gate_keep_to_the_rate(
    start: StartWorld, limits: dict[str, int]
) -> None:
    world = await start(rate=10.0, concurrency=20, **limits)
    world.broker.block(blocked=True)
    for number in range(40):
        world.send({"url": "/x", "id": f"t{number}"})
    await world.at(60)
    assert world.dispatcher.sent == []
    world.broker.block(blocked=False)
    await world.at(61)
    assert len(world.dispatcher.sent) == 10 + default_bucket(10.0)
    await world.at(64)
    assert len(world.dispatcher.sent) == 40
    assert world.is_idle()


async def test_fewer_at_once_holds_for_those_that_wait_for_the_broker_too(
    start: StartWorld,
) -> None:
    world = await start(concurrency=10)
    world.broker.block(blocked=True)
    world.dispatcher.will(*(Hang() for _ in range(10)))
    for number in range(10):
        world.send({"url": "/x", "id": f"t{number}"})
    await world.at(1)
    await world.consumer.reconfigure(QueueSettings(concurrency=3), world.settings.base_url)
    world.broker.block(blocked=False)
    await world.at(2)
    assert world.dispatcher.running == 3


async def test_a_new_rate_holds_for_those_that_had_passed_the_gate_before(
    start: StartWorld,
) -> None:
    world = await start(concurrency=10)
    world.broker.block(blocked=True)
    for number in range(10):
        world.send({"url": "/x", "id": f"t{number}"})
    await world.settle()
    limited = QueueSettings(concurrency=10, rate=1.0, bucket_size=2.0)
    await world.consumer.reconfigure(limited, world.settings.base_url)
    world.broker.block(blocked=False)
    await world.settle()
    assert len(world.dispatcher.sent) == 2
    await world.at(8)
    assert len(world.dispatcher.sent) == 10


@pytest.mark.parametrize(("rate", "per_second"), [("10/s", 10.0), ("30/m", 0.5), ("50/s", 50.0)])
async def test_the_rate_is_never_exceeded_in_any_window_and_is_reached(
    start: StartWorld, rate: str, per_second: float
) -> None:
    world = await start(rate=rate, concurrency=20)
    tasks = 60
    for number in range(tasks):
        world.send({"url": "/x", "id": f"t{number}"})
    size = default_bucket(per_second)
    await world.at((tasks - size) / per_second + 0.001)

    at = [event.envelope.last_attempt_at or 0.0 for event in world.observer.all(AttemptStarted)]
    assert len(at) == tasks
    for first in range(tasks):
        for last in range(first, tasks):
            window = at[last] - at[first]
            assert last - first + 1 <= per_second * window + size + 1e-4  # epoch floats are coarse
    assert world.is_idle()


async def test_retries_take_tokens_too(start: StartWorld) -> None:
    world = await start(rate="6/m", min_backoff_seconds=1, jitter=0)
    world.dispatcher.will(Responded(500))
    world.send({"url": "/a", "id": "a"})
    await world.at(9.99)
    assert len(world.dispatcher.sent) == 1
    await world.at(10)

    assert len(world.dispatcher.sent) == 2
    assert world.is_idle()


async def test_a_slow_queue_is_not_consumed_while_no_token_is_near(start: StartWorld) -> None:
    world = await start(rate="6/h")
    for number in range(4):
        world.send({"url": "/x", "id": f"t{number}"})
    await world.settle()
    assert len(world.dispatcher.sent) == 1

    held = 0.0
    for second in range(10, 1801, 10):
        await world.at(second)
        held = held + 10 if world.broker.unsettled else 0.0
        assert held <= 60
    started = [envelope.last_attempt_at or 0 for _, envelope in world.dispatcher.sent]
    assert [at - world.start for at in started] == pytest.approx([0, 600, 1200, 1800], abs=0.001)
    assert world.observer.all(TaskReleased) == []
    assert world.is_idle()


async def test_a_slow_queue_wakes_when_its_rate_is_raised(start: StartWorld) -> None:
    world = await start(rate="1/d")
    world.send({"url": "/x", "id": "a"})
    world.send({"url": "/x", "id": "b"})
    await world.at(60)
    assert len(world.dispatcher.sent) == 1
    await world.consumer.reconfigure(QueueSettings(rate=10.0), "http://app.test")
    await world.at(61)

    assert len(world.dispatcher.sent) == 2
    assert world.is_idle()


async def test_who_waits_for_a_token_goes_on_when_the_rate_is_raised(start: StartWorld) -> None:
    world = await start(rate="2/m")
    world.send({"url": "/x", "id": "a"})
    world.send({"url": "/x", "id": "b"})
    await world.at(1)
    assert len(world.dispatcher.sent) == 1
    await world.consumer.reconfigure(QueueSettings(), "http://app.test")
    await world.at(1.1)

    assert len(world.dispatcher.sent) == 2


async def test_a_queue_whose_rate_is_lowered_holds_nothing(start: StartWorld) -> None:
    world = await start(rate="1/m", concurrency=1)
    world.send({"url": "/x", "id": "a"})
    world.send({"url": "/x", "id": "b"})
    await world.at(1)
    await world.consumer.reconfigure(QueueSettings(rate=1 / 3600), "http://app.test")
    await world.settle()
    assert world.broker.unsettled == 0
    assert world.broker.ready("default") == 1
    await world.at(3601)

    assert len(world.dispatcher.sent) == 2
    assert world.is_idle()


async def test_a_reload_changes_the_concurrency_of_a_live_queue(start: StartWorld) -> None:
    world = await start(concurrency=1)
    hangs = [Hang() for _ in range(8)]
    world.dispatcher.will(*hangs)
    for number in range(8):
        world.send({"url": "/x", "id": f"t{number}"})
    await world.settle()
    assert world.dispatcher.running == 1
    await world.consumer.reconfigure(QueueSettings(concurrency=4), "http://app.test")
    await world.settle()
    assert world.dispatcher.running == 4
    await world.consumer.reconfigure(QueueSettings(concurrency=2), "http://app.test")
    hangs[0].answer()
    hangs[1].answer()
    await world.settle()
    assert world.dispatcher.running == 2
    for hang in hangs[2:]:
        hang.answer()
        await world.settle()

    assert world.is_idle()


async def test_a_reload_changes_base_url_and_policy_of_the_next_attempt(
    start: StartWorld,
) -> None:
    world = await start(jitter=0)
    world.dispatcher.will(Responded(500), Responded(500))
    world.send({"url": "/x", "id": "t"})
    await world.settle()
    await world.consumer.reconfigure(QueueSettings(retry_limit=1), "http://new.test")
    await world.at(10)

    assert world.dispatcher.urls == ["http://app.test/x", "http://new.test/x"]
    assert len(world.broker.dead) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_destination_is_paused_for_all_its_tasks_and_for_no_other(
    start: StartWorld, status: int
) -> None:
    world = await start(jitter=0)
    world.dispatcher.will(Responded(status, BUSY), url="http://busy.test/1")
    world.send({"url": "http://busy.test/1", "id": "first"})
    await world.settle()
    world.send({"url": "http://busy.test/2", "id": "second", "max_retries": 0})
    world.send({"url": "http://busy.test:81/3", "id": "other-port"})
    world.send({"url": "/4", "id": "other-host"})
    await world.at(29.999)

    assert world.dispatcher.urls[1:] == ["http://busy.test:81/3", "http://app.test/4"]
    scheduled = world.observer.last(TaskScheduled)
    assert (scheduled.why, scheduled.envelope.attempt) == ("destination_paused", 1)
    assert world.broker.unsettled == 0
    await world.at(30)
    assert sorted(world.dispatcher.urls[3:]) == ["http://busy.test/1", "http://busy.test/2"]
    assert world.is_idle()


async def test_a_task_whose_destination_is_paused_past_its_expiry_is_expired(
    start: StartWorld,
) -> None:
    world = await start(jitter=0)
    world.dispatcher.will(Responded(429, BUSY))
    world.send({"url": "/1", "id": "first"})
    await world.settle()
    world.send({"url": "/2", "id": "second", "expires": world.start + 20})
    await world.settle()

    assert world.observer.last(TaskFailed).envelope.task.id == "second"
    assert world.observer.last(TaskFailed).expired


async def test_what_waited_at_the_gate_meets_the_pause_too(start: StartWorld) -> None:
    world = await start(concurrency=1, jitter=0)
    world.dispatcher.will(Responded(429, BUSY))
    for number in range(5):
        world.send({"url": "/x", "id": f"t{number}"})
    await world.at(29.999)
    assert len(world.dispatcher.sent) == 1
    await world.at(30)

    assert len(world.dispatcher.sent) == 6
    assert world.is_idle()


async def test_a_suspect_of_killing_its_process_runs_with_nothing_beside_it(
    start: StartWorld,
) -> None:
    queues = {"a": QueueSettings(jitter=0), "b": QueueSettings()}
    world = await start(queues, whole={"default_queue": "a"})
    world.dispatcher.will(*[ZeroDivisionError()] * 11, url="http://app.test/bad")
    world.send({"url": "/bad", "id": "bad"}, to="a")
    await world.settle()
    assert world.observer.last(TaskScheduled).why == "suspect"

    slow, bad, late = Hang(), Hang(), Hang()
    world.dispatcher.will(slow, url="http://app.test/slow")
    world.dispatcher.will(bad, url="http://app.test/bad")
    world.dispatcher.will(late, url="http://app.test/late")
    world.send({"url": "/slow", "id": "slow"}, to="b")
    await world.at(61)
    assert world.dispatcher.urls[11:] == ["http://app.test/slow"]
    world.send({"url": "/late", "id": "late"}, to="b")
    await world.settle()
    slow.answer()
    await world.settle()
    assert world.dispatcher.urls[12:] == ["http://app.test/bad"]
    assert world.dispatcher.running == 1
    bad.answer()
    await world.settle()
    assert world.dispatcher.urls[13:] == ["http://app.test/late"]
    late.answer()
    await world.settle()

    assert world.is_idle()
