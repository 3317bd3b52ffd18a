"""A destination that is slow, or dead, does not stop the others of its queue."""

from collections import Counter

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import TaskScheduled, TaskSucceeded

SLOW = "http://slow.test/x"


def good(number: int) -> str:
    return f"http://good{number}.test/x"


def send(world: World, url: str, number: int, prefix: str, **fields: object) -> None:
    for each in range(number):
        world.send({"url": url, "id": f"{prefix}{each}", **fields})


def hanging(world: World, number: int) -> list[Hang]:
    hangs = [Hang() for _ in range(number)]
    world.dispatcher.will(*hangs, url=SLOW)
    return hangs


async def test_a_single_destination_uses_the_whole_concurrency(start: StartWorld) -> None:
    world = await start(concurrency=4)
    hanging(world, 100)
    send(world, SLOW, 100, "slow")
    await world.at(30)

    assert world.dispatcher.running == 4
    assert world.observer.all(TaskScheduled) == []


async def test_a_queue_with_a_slow_destination_goes_on_with_all_others(start: StartWorld) -> None:
    world = await start(concurrency=4)
    hanging(world, 1000)
    send(world, good(0), 1, "first")
    send(world, SLOW, 300, "slow")
    for number in range(10):
        send(world, good(number), 10, f"good{number}-")
    await world.at(5)

    done = Counter(event.envelope.task.id[:4] for event in world.observer.all(TaskSucceeded))
    assert done == {"good": 100, "firs": 1}
    assert world.dispatcher.running == 2
    away = world.observer.all(TaskScheduled)
    assert {event.why for event in away} == {"host_saturated"}
    assert {event.envelope.attempt for event in away} == {1}


async def test_a_good_one_that_comes_late_is_reached_behind_a_backlog(start: StartWorld) -> None:
    world = await start(concurrency=4)
    hangs = hanging(world, 1000)
    send(world, SLOW, 300, "slow")
    await world.settle()
    await world.intake.accept(b'{"id": "late", "url": "http://good1.test/x"}')
    for hang in hangs[:3]:
        hang.answer()
    await world.at(0.4)

    assert good(1) in world.dispatcher.urls
    assert world.dispatcher.urls.count(SLOW) == 5  # two of four slots are its own, from now on


async def test_who_was_sent_away_makes_no_hot_loop(start: StartWorld) -> None:
    world = await start(concurrency=4)
    hanging(world, 2000)
    send(world, good(0), 1, "first")
    send(world, SLOW, 600, "slow")
    await world.at(10)
    before = len(world.observer.all(TaskScheduled))
    await world.at(40)

    assert len(world.observer.all(TaskScheduled)) - before <= 30 * 40


async def test_a_queue_that_only_waits_for_its_rate_sends_nobody_away(start: StartWorld) -> None:
    world = await start(concurrency=4, rate="10/s")
    for number in range(300):
        world.send({"url": good(number % 5 == 0), "id": f"t{number}"})
    await world.at(31)

    assert len(world.observer.all(TaskSucceeded)) == 300
    assert world.observer.all(TaskScheduled) == []


async def test_all_of_a_slow_destination_are_done_in_the_end(start: StartWorld) -> None:
    world = await start(concurrency=4)
    hangs = hanging(world, 200)
    send(world, good(0), 1, "first")
    send(world, SLOW, 200, "slow")
    second = 0
    while not all(hang.outcome.done() for hang in hangs):
        second += 1
        await world.at(second)
        asked = world.dispatcher.urls.count(SLOW)
        for hang in hangs[:asked]:
            if not hang.outcome.done():
                hang.answer()
        assert second < 200
    await world.at(second + 1)

    assert world.dispatcher.urls.count(SLOW) == 200
    assert world.is_idle()


async def test_an_operators_number_is_never_exceeded(start: StartWorld) -> None:
    world = await start(concurrency=10, per_host_concurrency=3)
    hangs = hanging(world, 20)
    send(world, SLOW, 20, "slow")
    for hang in hangs:
        await world.settle()
        assert world.dispatcher.running <= 3
        hang.answer()
    await world.at(10)

    assert world.dispatcher.most == 3
    assert world.is_idle()


async def test_what_comes_off_the_wheel_keeps_to_the_share_too(start: StartWorld) -> None:
    world = await start(concurrency=4, per_host_concurrency=1)
    hanging(world, 10)
    send(world, SLOW, 5, "slow", countdown=60)
    send(world, good(1), 5, "good", countdown=60)
    await world.at(61)

    assert world.dispatcher.running == 1
    assert len(world.observer.all(TaskSucceeded)) == 5


@pytest.mark.parametrize("u", [0.0])
async def test_queues_do_not_share_their_slots(start: StartWorld, u: float) -> None:
    queues = {"a": QueueSettings(concurrency=2), "b": QueueSettings(concurrency=2)}
    world = await start(queues, whole={"default_queue": "a"}, u=u)
    hanging(world, 10)
    for number in range(5):
        world.send({"url": SLOW, "id": f"a{number}"}, to="a")
        world.send({"url": good(1), "id": f"b{number}"}, to="b")
    await world.settle()

    assert len(world.observer.all(TaskSucceeded)) == 5
    assert world.dispatcher.running == 2
