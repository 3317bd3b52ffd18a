"""How many tasks a second one core carries from end to end, and what each costs."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.doors import ApiDoor
from bench.filling import body, fill, queued
from bench.ground import config_for
from bench.received import Receiving
from bench.served import Served
from tests.parts.ports import free_port

DAEMONS_CPU, OTHERS_CPU = 0, 1
LONGEST_SECONDS = 300.0
WARM_UP = 0.1
_BATCH = 500
_LOOK_AGAIN_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Pace:
    """One run: tasks a second, microseconds of the daemon's CPU for each, its share of its core.

    A share well below 1 when the tasks are already queued: others used that core.
    """

    per_second: float
    cpu_us: float

    @property
    def share(self) -> float:
        return self.per_second * self.cpu_us / 1e6


@dataclass(frozen=True, slots=True)
class Rate:
    """The median of all runs, and of those the one with the greatest pace."""

    name: str
    per_second: float
    cpu_us: float
    best: Pace


@dataclass(slots=True)
class Reading:
    """How far it was at one moment."""

    at: float
    done: int
    cpu: float


def measure_rates(directory: Path, tasks: int, runs: int) -> tuple[Rate, ...]:
    """Measure both ways in turn, so that what disturbs one run does not disturb one way only."""
    os.sched_setaffinity(0, {OTHERS_CPU})
    found: dict[str, list[Pace]] = {"by the API": [], "already queued": []}
    ways: dict[str, Callable[[Path, int], Pace]] = {
        "by the API": by_api,
        "already queued": already_queued,
    }
    for number in range(runs):
        for name, measure in ways.items():
            place = directory / f"{name.replace(' ', '-')}-{number}"
            place.mkdir()
            found[name].append(measure(place, tasks))
            print(f"{name}: {_told(found[name][-1])}", flush=True)
    return tuple(_summary(name, each) for name, each in found.items())


def _told(pace: Pace) -> str:
    figures = f"{pace.per_second:.0f} tasks/s, {pace.cpu_us:.0f} us of CPU each"
    return f"{figures}, {pace.share:.0%} of its core"


def _summary(name: str, found: list[Pace]) -> Rate:
    best = max(found, key=lambda pace: pace.per_second)
    return Rate(name, median(p.per_second for p in found), median(p.cpu_us for p in found), best)


def by_api(directory: Path, tasks: int, store: str = "none") -> Pace:
    """Hand tasks over by HTTP, in arrays, each with an id, while others are carried out."""
    port = free_port()
    bodies = [
        b"[" + b",".join(body(number) for number in range(first, min(first + _BATCH, tasks))) + b"]"
        for first in range(0, tasks, _BATCH)
    ]
    with Receiving(directory, cpus=(OTHERS_CPU,)) as receiver:
        config = config_for(f"embedded:{directory}/queue.db", receiver.url, port=port, store=store)
        with Served(directory, config, cpus=(DAEMONS_CPU,)) as daemon:
            daemon.start()
            daemon.ready()
            began = Reading(time.monotonic(), 0, daemon.cpu_seconds())
            door = ApiDoor(port)
            for each in bodies:
                _must_be_accepted(door.post(each))
            door.close()
            return until(receiver, daemon, began, tasks)


def _must_be_accepted(answer: bytes) -> None:
    refused = [each for each in json.loads(answer)["results"] if each["status"] != 202]
    if refused:
        raise RuntimeError(f"not accepted: {refused[0]}")


def already_queued(directory: Path, tasks: int, store: str = "none") -> Pace:
    """Carry out what the queue file holds already."""
    fill(directory / "queue.db", queued(range(tasks)))
    with Receiving(directory, cpus=(OTHERS_CPU,)) as receiver:
        config = config_for(f"embedded:{directory}/queue.db", receiver.url, store=store)
        with Served(directory, config, cpus=(DAEMONS_CPU,)) as daemon:
            daemon.start()
            began = reached(receiver, daemon, int(tasks * WARM_UP))
            return until(receiver, daemon, began, tasks)


def until(receiver: Receiving, daemon: Served, began: Reading, tasks: int) -> Pace:
    """Wait until so many have arrived, end the daemon, and return the pace since ``began``."""
    ended = reached(receiver, daemon, tasks)
    daemon.terminate()
    done = ended.done - began.done
    return Pace(done / (ended.at - began.at), (ended.cpu - began.cpu) * 1e6 / done)


def reached(receiver: Receiving, daemon: Served, tasks: int) -> Reading:
    """Return the moment at which so many have arrived. Raises RuntimeError when they do not."""
    ended = time.monotonic() + LONGEST_SECONDS
    while (done := receiver.count()) < tasks:
        if time.monotonic() > ended or not daemon.running:
            raise RuntimeError(f"{done} of {tasks} arrived\n{daemon.tail()}")
        time.sleep(_LOOK_AGAIN_SECONDS)
    return Reading(time.monotonic(), done, daemon.cpu_seconds())
