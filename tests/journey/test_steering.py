"""Queues that are paused, limited and emptied while they work."""

import asyncio
import json

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.engine.queue_control import Purged
from webhook_runner.errors import InvalidTaskError, NoStoreError, UnknownQueueError
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import QueueChanged
from webhook_runner.task.state import TaskState

MEMORY = "sqlite::memory:"


async def accept(world: World, **fields: object) -> None:
    await world.intake.accept(json.dumps({"url": "/x", **fields}).encode())
    await world.settle()


async def test_a_paused_queue_takes_nothing_until_it_is_resumed(start: StartWorld) -> None:
    world = await start(company=True)
    view = await world.control.queues.pause("default")
    assert (view.paused, view.condition) == (True, "paused by request")
    await accept(world)
    assert not world.dispatcher.sent
    assert (await world.control.queues.queue("default")).ready == 1
    view = await world.control.queues.resume("default")
    assert (view.paused, view.condition) == (False, "ok")
    await world.settle()
    assert len(world.dispatcher.sent) == 1
    assert [event.paused for event in world.observer.all(QueueChanged)] == [True, False]


async def test_a_pause_outlives_the_daemon(start: StartWorld) -> None:
    world = await start(company=True)
    await world.control.queues.pause("default")
    await world.control.queues.change("default", {"concurrency": 3})
    after = await start(consuming=False, company=True)
    after.broker.inherit(world.broker)
    await after.settle()
    await after.engine.start()
    await accept(after)
    assert not after.dispatcher.sent
    (view,) = await after.control.queues.queues()
    assert (view.paused, view.settings.concurrency, view.changed) == (True, 3, ("concurrency",))


async def test_a_pause_by_signal_and_one_by_request_do_not_lift_each_other(
    start: StartWorld,
) -> None:
    world = await start(company=True)
    await world.engine.pause()
    await world.control.queues.pause("default")
    await world.engine.resume()
    await accept(world)
    assert not world.dispatcher.sent
    await world.engine.pause()
    await world.control.queues.resume("default")
    await world.settle()
    assert not world.dispatcher.sent
    await world.engine.resume()
    await world.settle()
    assert len(world.dispatcher.sent) == 1


async def test_limits_change_at_once_and_go_back_to_the_file(start: StartWorld) -> None:
    world = await start(company=True, concurrency=1)
    world.dispatcher.will(*(Hang() for _ in range(4)))
    for _ in range(4):
        await accept(world)
    assert world.dispatcher.running == 1
    view = await world.control.queues.change("default", {"concurrency": 3, "rate": "1000/s"})
    await world.settle()
    assert world.dispatcher.running == 3
    assert (view.settings.concurrency, view.settings.rate) == (3, 1000.0)
    assert view.changed == ("concurrency", "rate")
    view = await world.control.queues.change("default", {"concurrency": None})
    assert (view.settings.concurrency, view.changed) == (1, ("rate",))


async def test_two_changes_at_once_do_not_undo_each_other(start: StartWorld) -> None:
    world = await start(company=True)
    queues = world.control.queues
    await queues.pause("default")
    await asyncio.gather(queues.resume("default"), queues.change("default", {"concurrency": 3}))
    view = await queues.queue("default")
    assert (view.paused, view.settings.concurrency) == (False, 3)


async def test_what_was_changed_stays_above_the_file_after_a_reload(start: StartWorld) -> None:
    world = await start(company=True, concurrency=1)
    await world.control.queues.change("default", {"concurrency": 3})
    queues = {"default": QueueSettings(concurrency=7, timeout=5)}
    await world.engine.reconfigure(world.settings.model_copy(update={"queues": queues}))
    view = await world.control.queues.queue("default")
    assert (view.settings.concurrency, view.settings.timeout) == (3, 5)
    view = await world.control.queues.change("default", {"concurrency": None})
    assert view.settings.concurrency == 7


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": "5"}, "concurrency"),
        ({"rate": "often"}, "rate"),
        ({"base_url": "http://x"}, "base_url"),
        ({"nonsense": 1}, "nonsense"),
        ({"min_backoff_seconds": 10, "max_backoff_seconds": 5}, "min_backoff_seconds"),
        ({"timeout": 700}, "timeout"),
    ],
)
async def test_a_limit_that_cannot_be_is_refused_by_its_name(
    start: StartWorld, limits: dict[str, object], field: str
) -> None:
    world = await start(company=True)
    with pytest.raises(InvalidTaskError) as refused:
        await world.control.queues.change("default", limits)
    assert refused.value.field == field
    assert not world.observer.all(QueueChanged)


async def test_a_queue_that_is_not_there_is_told_with_those_that_are(start: StartWorld) -> None:
    world = await start(company=True)
    with pytest.raises(UnknownQueueError, match="other is not one of default"):
        await world.control.queues.pause("other")


async def test_a_queue_tells_how_it_stands(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True, concurrency=1, retry_limit=0)
    came = world.clock.now()
    world.dispatcher.will(Hang(), url="http://app.test/slow")
    await accept(world, url="/slow")
    await world.at(2)
    await accept(world, countdown=500)
    view = await world.control.queues.queue("default")
    assert (view.running, view.scheduled, view.ready) == (1, 1, 0)
    assert (view.dead, view.invalid) == (0, 0)
    assert view.oldest_at == came
    assert view.lag_seconds == 0


async def test_a_purge_empties_what_is_ready_and_on_demand_what_waits(start: StartWorld) -> None:
    world = await start(store=MEMORY, company=True)
    await world.control.queues.pause("default")
    await accept(world)
    for number in range(3):
        await accept(world, id=f"t{number}", countdown=60)
    assert await world.control.queues.purge("default") == Purged(ready=1)
    assert await world.control.queues.purge("default", scheduled=True) == Purged(0, scheduled=3)
    assert (await world.control.tasks.find("t0")).state is TaskState.CANCELLED
    await world.control.queues.resume("default")
    await world.at(61)
    assert not world.dispatcher.sent
    assert world.is_idle()


async def test_without_a_store_nobody_knows_what_waits(start: StartWorld) -> None:
    world = await start(company=True)
    with pytest.raises(NoStoreError, match=r"\[store\] url"):
        await world.control.queues.purge("default", scheduled=True)
