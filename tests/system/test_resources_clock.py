"""Wall clocks that are set, and daemons that are frozen: none early, none twice, none forgotten."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from tests.parts.daemon import Daemon
from tests.parts.faketime import FakeClock, forget
from tests.parts.receiver import Answer, Request
from tests.parts.scene import eventually
from tests.parts.stage import Stage, wait_for_events

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

HOUR, DAY = 3600.0, 86_400.0
IN_1970 = 1000.0
# Levels of the wheel are declared when they are needed, and once the clock was set their slots
# are looked through one after the other.
PATIENCE = 60.0
RATE, BUCKET, OVERDUE = 10, 3, 25


@dataclass(slots=True)
class Timed:
    """A daemon whose clock is set, and what it was given."""

    stage: Stage
    clock: FakeClock
    daemon: Daemon
    names: list[str] = field(default_factory=list)

    def send(self, name: str, seconds: float, **fields: object) -> None:
        """Publish a task that is due in so many seconds, and wait until the daemon has it."""
        self.names.append(name)
        task = {"url": f"/{name}", "id": name, "countdown": seconds, "roll_back": "/undo"}
        self.stage.publish("a", {**task, **fields})
        eventually(lambda: self._has(name), PATIENCE)

    def send_later(self, name: str, seconds: float, **fields: object) -> None:
        """Publish a task that waits with the broker, and wait until it does."""
        self.send(name, seconds, **fields)
        self.daemon.wait_for_event("task.scheduled", task_id=name, timeout=PATIENCE)

    def _has(self, name: str) -> bool:
        taken = {"task.accepted", "task.received"}
        return any(
            each["event"] in taken and each["task_id"] == name for each in self.daemon.events
        )

    def arrive(self, *names: str, count: int = 1) -> None:
        """Wait until each has arrived so often. Raises TimeoutError."""
        for name in names:
            self.stage.receiver.wait_for(count, f"/{name}", timeout=PATIENCE)

    def has_arrived(self, *names: str) -> bool:
        return any(self.stage.receiver.received(f"/{name}") for name in names)

    def early(self) -> list[Request]:
        """Return what came before it was due by the clock; a roll-back has no time of its own."""
        return [
            each
            for each in self.stage.receiver.requests
            if each.path != "/undo" and self.clock.latest_at(each.arrived_at) < due(each)
        ]


def due(request: Request) -> float:
    return datetime.fromisoformat(str(request.header("Webhook-Runner-Eta"))).timestamp()


@pytest.fixture
def timed(either_stage: Stage, clock: FakeClock) -> Iterator[Timed]:
    queues = {"a": "min_backoff_seconds = 3\njitter = 0"}
    daemon = either_stage.daemon(queues, environment=clock.environment)
    yield Timed(either_stage, clock, daemon)
    daemon.close()
    forget(daemon.pid)


def test_c1_a_clock_that_is_set_makes_nothing_early_and_nothing_twice(timed: Timed) -> None:
    receiver, clock = timed.stage.receiver, timed.clock
    receiver.script("/under-way", [Answer(hang=True)])
    receiver.script("/fails", [Answer(500), Answer()])
    for name, seconds in (("half-hour", HOUR / 2), ("two-hours", 2 * HOUR), ("day", DAY - HOUR)):
        timed.send_later(name, seconds)
    timed.send_later("expires", HOUR / 3, expires=clock.now() + HOUR / 2)
    timed.send("soon", 2)
    timed.send("under-way", 0)
    timed.arrive("soon", "under-way")
    an_hour_ahead(timed)
    back_again_and_behind(timed)
    a_day_ahead(timed)
    in_1970_and_back(timed)
    timed.stage.comes_to_rest(PATIENCE)
    wanted = Counter({f"/{name}": 1 for name in timed.names}) + Counter({"/fails": 1, "/undo": 1})
    del wanted["/expires"]
    assert Counter(each.path for each in receiver.requests) == wanted
    assert [(each.path, each.arrived_at) for each in timed.early()] == []


def an_hour_ahead(timed: Timed) -> None:
    timed.clock.set(HOUR)
    timed.arrive("half-hour", "undo")
    timed.send("ahead", 2)
    timed.arrive("ahead")
    assert not timed.has_arrived("two-hours", "day", "expires")


def back_again_and_behind(timed: Timed) -> None:
    timed.clock.set(0)
    timed.send("back", 2)
    timed.arrive("back")
    timed.send("held", 1.2)
    timed.send("fails", 0)
    timed.daemon.wait_for_event("task.retry.scheduled", task_id="fails", timeout=PATIENCE)
    timed.clock.set(-HOUR)
    timed.stage.receiver.release("/under-way")
    timed.send("behind", 2)
    timed.arrive("behind")


def a_day_ahead(timed: Timed) -> None:
    assert not timed.has_arrived("two-hours", "day")
    timed.clock.set(DAY)
    timed.arrive("two-hours", "day", "held")
    timed.arrive("fails", count=2)
    timed.send("tomorrow", 2)
    timed.arrive("tomorrow")


def in_1970_and_back(timed: Timed) -> None:
    timed.clock.set(IN_1970 - time.time())
    timed.send("in-1970", 2)
    timed.arrive("in-1970")
    timed.clock.set(0)
    timed.send("last", 2)
    timed.arrive("last")


def test_c3_a_frozen_daemon_lets_what_is_overdue_go_at_its_rate(either_stage: Stage) -> None:
    queue = f'rate = "{RATE}/s"\nbucket_size = {BUCKET}\nconcurrency = 50'
    daemon = either_stage.daemon({"a": queue}, top="[broker]\nheartbeat = 2\n")
    tasks = [{"url": "/x", "id": f"t{number}", "countdown": 2} for number in range(OVERDUE)]
    either_stage.publish("a", *tasks)
    overdue = time.monotonic() + 2
    wait_for_events(daemon, OVERDUE, "task.scheduled")
    daemon.pause()
    # RabbitMQ takes a consumer for dead that keeps silent for longer than two heartbeats.
    eventually(lambda: time.monotonic() > overdue + 6)
    daemon.resume()
    requests = either_stage.receiver.wait_for(OVERDUE, timeout=30)
    either_stage.comes_to_rest()
    assert Counter(each.header("Idempotency-Key") for each in requests) == dict.fromkeys(
        (str(task["id"]) for task in tasks), 1
    )
    arrived = sorted(each.arrived_monotonic for each in requests)
    # One more: what was sent a moment late makes the window of its successors shorter.
    assert all(
        last - first + 1 <= BUCKET + RATE * (arrived[last] - arrived[first]) + 1
        for first in range(OVERDUE)
        for last in range(first + 1, OVERDUE)
    )
