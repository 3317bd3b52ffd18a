"""A destination that fails is left alone, without charging its tasks, and without a hot loop."""

from collections import Counter
from typing import Any

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.engine.destination import State
from webhook_runner.settings import BreakerSettings, QueueSettings
from webhook_runner.task.event import (
    AttemptStarted,
    BreakerClosed,
    BreakerOpened,
    TaskFailed,
    TaskScheduled,
    TaskSucceeded,
)
from webhook_runner.task.outcome import Responded, TimedOut, Trouble, Unreachable

BAD, GOOD = "http://bad.test/x", "http://good.test/x"
HOST = ("bad.test", 80)
DOWN = Unreachable(Trouble.CONNECT)
LONG: dict[str, Any] = {"min_backoff_seconds": 3600, "jitter": 0}


def send(world: World, url: str, number: int, prefix: str = "t", **fields: object) -> None:
    for each in range(number):
        world.send({"url": url, "id": f"{prefix}{each}", **fields})


async def broken(start: StartWorld, **queue: Any) -> World:
    """Return a world whose bad destination has just failed for the twentieth time."""
    world = await start(**{**LONG, **queue})
    world.dispatcher.will(*[DOWN] * 20, url=BAD)
    send(world, BAD, 20, "first")
    await world.settle()
    assert len(world.observer.all(BreakerOpened)) == 1
    return world


def sent_to_bad(world: World) -> int:
    return world.dispatcher.urls.count(BAD)


async def test_after_twenty_failures_no_more_requests_are_sent_and_nothing_is_charged(
    start: StartWorld,
) -> None:
    world = await broken(start)
    send(world, BAD, 5, "held", max_retries=0)
    send(world, GOOD, 5, "good")
    await world.at(29.9)

    assert sent_to_bad(world) == 20
    assert world.dispatcher.urls.count(GOOD) == 5
    held = [each for each in world.observer.all(TaskScheduled) if each.why == "breaker_open"]
    assert {each.envelope.attempt for each in held} == {1}
    assert world.broker.unsettled == 0
    await world.at(60)
    assert len(world.observer.all(TaskSucceeded)) == 10
    assert world.observer.all(TaskFailed) == []


@pytest.mark.parametrize("outcome", [DOWN, TimedOut(60), Responded(500), Responded(429)])
async def test_half_of_the_requests_failing_is_enough(
    start: StartWorld, outcome: Responded
) -> None:
    world = await start(**LONG)
    world.dispatcher.will(*[Responded(200), outcome] * 10, url=BAD)
    send(world, BAD, 20)
    await world.settle()

    assert len(world.observer.all(BreakerOpened)) == 1


async def test_answers_that_only_concern_the_task_do_not_open_it(start: StartWorld) -> None:
    world = await start(**LONG)
    world.dispatcher.will(*[Responded(404)] * 100, url=BAD)
    send(world, BAD, 100)
    await world.settle()

    assert world.observer.all(BreakerOpened) == []
    assert sent_to_bad(world) == 100


async def test_one_probe_at_a_time_and_two_good_ones_close_it(start: StartWorld) -> None:
    world = await broken(start)
    first, second = Hang(), Hang()
    world.dispatcher.will(first, second, url=BAD)
    send(world, BAD, 30, "held")
    await world.at(35)
    assert (sent_to_bad(world), world.dispatcher.running) == (21, 1)
    first.answer()
    await world.at(50)
    assert (sent_to_bad(world), world.dispatcher.running) == (22, 1)
    second.answer()
    await world.at(80)

    assert len(world.observer.all(TaskSucceeded)) == 30
    assert len(world.observer.all(BreakerClosed)) == 1


async def test_a_bad_probe_opens_it_for_twice_as_long(start: StartWorld) -> None:
    world = await broken(start)
    world.dispatcher.will(DOWN, DOWN, url=BAD)
    send(world, BAD, 5, "held")
    await world.at(31)
    assert sent_to_bad(world) == 21
    await world.at(89)
    assert sent_to_bad(world) == 21
    await world.at(92)
    assert sent_to_bad(world) == 22
    reasons = [event.reason for event in world.observer.all(BreakerOpened)]
    assert reasons == ["failures", "probe_failed", "probe_failed"]
    await world.at(92 + 121)
    assert len(world.observer.all(BreakerClosed)) == 1


async def test_a_probe_that_is_cut_off_frees_its_place(start: StartWorld) -> None:
    world = await broken(start, company=True)
    hang = Hang()
    world.dispatcher.will(hang, url=BAD)
    send(world, BAD, 3, "held")
    await world.at(31)
    assert world.dispatcher.running == 1
    probe = world.dispatcher.sent[-1][1].task.id
    cancelling = world.spawn(world.control.tasks.cancel(probe, force=True))
    await world.at(60)
    await cancelling

    assert world.dispatcher.cancelled == 1
    assert len(world.observer.all(TaskSucceeded)) == 2
    assert len(world.observer.all(BreakerClosed)) == 1


async def test_a_held_task_expires_at_once_when_it_would_be_too_late(start: StartWorld) -> None:
    world = await broken(start)
    world.send({"url": BAD, "id": "short", "expires": world.start + 20})
    world.send({"url": BAD, "id": "long", "expires": world.start + 31})
    await world.settle()
    (ended,) = world.observer.all(TaskFailed)
    assert (ended.envelope.task.id, ended.expired) == ("short", True)
    await world.at(31)

    assert world.observer.last(TaskSucceeded).envelope.task.id == "long"


async def test_a_task_expires_in_time_also_while_nobody_knows_how_long_it_is_held(
    start: StartWorld,
) -> None:
    world = await start(company=True)
    await world.control.destinations.open("bad.test:80")
    await world.at(3600)
    world.send({"url": BAD, "id": "t", "expires": world.start + 3700})
    await world.at(3699.9)
    assert world.observer.all(TaskFailed) == []
    await world.at(3700)

    assert world.observer.last(TaskFailed).expired


async def test_a_large_backlog_of_held_tasks_comes_back_in_a_line(start: StartWorld) -> None:
    world = await broken(start)
    send(world, BAD, 2000, "held")
    await world.settle()
    for _ in range(200):
        await world.settle()
    due = [each.until for each in world.observer.all(TaskScheduled)]
    assert len(due) == 2000
    by_second = Counter(int(until - world.start - 30) for until in due)
    assert max(by_second.values()) <= 600


async def test_while_a_probe_hangs_the_others_make_no_hot_loop(start: StartWorld) -> None:
    world = await broken(start)
    hang = Hang()
    world.dispatcher.will(hang, url=BAD)
    send(world, BAD, 11, "held")
    await world.at(31)
    before = len(world.observer.all(TaskScheduled))
    await world.at(90)
    again = len(world.observer.all(TaskScheduled)) - before
    assert 10 <= again <= 10 * 8  # after 1, 2, 4 ... 30 seconds
    hang.answer()
    await world.at(125)
    assert len(world.observer.all(TaskSucceeded)) == 11


async def test_a_pause_that_was_asked_for_and_a_breaker_hold_until_both_are_over(
    start: StartWorld,
) -> None:
    world = await start(**LONG)
    busy = Responded(503, {"retry-after": "100"})
    hangs = [Hang() for _ in range(20)]
    world.dispatcher.will(*hangs, url=BAD)
    await world.consumer.reconfigure(QueueSettings(concurrency=20, **LONG), "")
    send(world, BAD, 20, "first")
    await world.settle()
    for hang in hangs:
        hang.answer(busy)
    await world.settle()
    send(world, BAD, 1, "held")
    await world.at(99)
    assert sent_to_bad(world) == 20
    await world.at(101)
    assert sent_to_bad(world) == 21


async def test_410_opens_the_destination_of_a_queue_that_says_so(start: StartWorld) -> None:
    world = await start(gone_disables=True, retry_limit=0)
    world.dispatcher.will(Responded(410), url=BAD)
    send(world, BAD, 3)
    await world.at(599)
    assert sent_to_bad(world) == 1
    assert world.observer.last(BreakerOpened).reason == "gone"
    await world.at(700)
    assert sent_to_bad(world) == 3


async def test_a_breaker_that_is_switched_off_holds_nothing(start: StartWorld) -> None:
    world = await start(whole={"breaker": BreakerSettings(enabled=False)}, **LONG)
    world.dispatcher.will(*[DOWN] * 100, url=BAD)
    send(world, BAD, 100)
    await world.settle()
    assert sent_to_bad(world) == 100


async def test_what_a_person_opens_is_held_until_a_person_closes_it(start: StartWorld) -> None:
    world = await start(company=True)
    standing = await world.control.destinations.open("BAD.test:80")
    assert (standing.name, standing.state, standing.forced) == ("bad.test:80", State.OPEN, True)
    send(world, BAD, 3, max_retries=0)
    send(world, GOOD, 1, "good")
    await world.at(300)
    assert world.dispatcher.urls == [GOOD]
    standing = await world.control.destinations.close("bad.test:80")
    assert (standing.state, standing.forced, standing.held) == (State.CLOSED, False, 3)
    await world.at(600)

    assert len(world.observer.all(TaskSucceeded)) == 4
    assert [event.envelope.attempt for event in world.observer.all(AttemptStarted)] == [1] * 4


async def test_another_daemon_and_the_next_one_hear_of_it(start: StartWorld) -> None:
    first = await start(company=True)
    await first.control.destinations.open("bad.test:80")
    second = await start(consuming=False, company=True)
    second.broker.inherit(first.broker)
    await second.settle()

    assert second.engine.destinations.standing(HOST).state is State.OPEN


async def test_a_person_closes_what_failures_opened(start: StartWorld) -> None:
    world = await broken(start, company=True)
    send(world, BAD, 3, "held")
    await world.at(5)
    await world.control.destinations.close("bad.test:80")
    send(world, BAD, 1, "now")
    await world.settle()

    assert world.observer.last(BreakerClosed).forced
    assert sent_to_bad(world) == 21


async def test_destinations_are_listed_page_by_page(start: StartWorld) -> None:
    world = await broken(start)
    send(world, GOOD, 1, "good")
    world.send({"url": "http://[::1]:8080/x", "id": "six"})
    await world.settle()
    control = world.control.destinations
    first, after = await control.page(None, 2, "")
    second, end = await control.page(None, 2, after)
    assert [each.name for each in (*first, *second)] == [
        "[::1]:8080",
        "bad.test:80",
        "good.test:80",
    ]
    assert end == ""
    [bad], _ = await control.page(State.OPEN, 10, "")
    assert bad.name == "bad.test:80"
    assert (bad.requests, bad.failures, bad.until) == (20, 20, world.start + 30)
