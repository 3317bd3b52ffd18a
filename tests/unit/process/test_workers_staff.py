"""Workers that do not start, what they are started with, and how their end is told."""

import asyncio
import sys

import pytest

from tests.fakes.clock import settle
from tests.journey.world import World
from webhook_runner.api.events import EventHub
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.observe.sink import Sink
from webhook_runner.process.bell import Bell
from webhook_runner.process.workers.seat import environment, how_ended
from webhook_runner.process.workers.staff import Desk, Staff
from webhook_runner.task.worker_event import WorkerEnded


@pytest.mark.parametrize(
    ("code", "told"),
    [(0, "exit code 0"), (78, "exit code 78"), (-9, "signal 9 (SIGKILL)"), (-99, "signal 99")],
)
def test_an_end_is_told_in_words(code: int, told: str) -> None:
    assert how_ended(code) == told


def test_what_is_for_the_parent_alone_is_not_in_the_environment_of_a_worker() -> None:
    secret = {
        "WEBHOOK_RUNNER_SERVER": "amqp://me:secret@h/",
        "WEBHOOK_RUNNER_STORE__URL": "postgresql://me:secret@h/",
        "TASKQUEUE_CONFIG_FILE": "/etc/t.ini",
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "30000000",
    }
    theirs = environment(
        {**secret, "LANG": "C.UTF-8", "WEBHOOK_RUNNER_FAILPOINTS": "ack.after:1:kill"}
    )
    assert not theirs.keys() & secret.keys()
    assert theirs["LANG"] == "C.UTF-8"
    assert theirs["WEBHOOK_RUNNER_FAILPOINTS"]
    assert "secret" not in "".join(theirs.values())


def staff_of(world: World) -> Staff:
    metrics, hub = MetricsObserver("1", world.lanes), EventHub(world.clock.now)
    sink, bell = Sink(sys.stderr), Bell()
    desk = Desk(world.engine, world.store, world.control, hub, metrics, sink, bell, world.clock)
    return Staff(world.settings, desk, world.observer, lambda: "a name")


async def test_workers_that_cannot_be_started_are_tried_again_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    world = World(processes=2)
    staff = staff_of(world)
    running = asyncio.ensure_future(staff.run())
    await settle()
    assert staff.troubles() == {"worker 1": "not running", "worker 2": "not running"}
    assert staff.consuming() == frozenset()
    await world.at(200)
    ended = [each for each in world.observer.all(WorkerEnded) if each.worker == 1]
    assert [each.retry_in for each in ended] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert "cannot be started" in ended[0].how
    assert await staff.drain(asyncio.Event()) == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
