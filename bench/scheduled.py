"""How the daemon bears a million tasks that wait: its start, its memory, its punctuality."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.filling import fill, scheduled
from bench.ground import config_for
from bench.histogram import Spread, print_histogram, spread
from bench.received import Receiving, Request
from bench.served import Served

PER_SECOND = 500
NEAREST, FARTHEST = 3_600.0, 30 * 86_400.0
SECONDS_TO_START = 20.0
LONGEST_DELAY = 60.0
STARTS = 5
_SEED = 20


@dataclass(frozen=True, slots=True)
class Patience:
    """What was measured.

    Attributes:
        start_seconds: from exec to `daemon.ready`, median.
        resident_at_start: bytes; the greatest of all starts.
        resident_at_end: bytes, after the measured time.
        late: milliseconds from due until arrival.
        early: how many arrived before they were due.
        missing: how many never arrived.
        cpu_us: microseconds of CPU for each task.

    """

    start_seconds: float
    resident_at_start: int
    resident_at_end: int
    late: Spread
    early: int
    missing: int
    cpu_us: float


def measure_patience(directory: Path, waiting: int, seconds: int) -> Patience:
    """Start with so many waiting, then let 500 a second become due for so many seconds."""
    file, now, dice = directory / "queue.db", time.time(), random.Random(_SEED)
    far = ((number, now + dice.uniform(NEAREST, FARTHEST)) for number in range(waiting))
    began = time.monotonic()
    fill(file, scheduled(far, now))
    print(f"{waiting} tasks put into the file in {time.monotonic() - began:.0f} s", end="  ")
    print(f"({file.stat().st_size / 1e6:.0f} MB)", flush=True)
    with Receiving(directory) as receiver:
        with Served(directory, config_for(f"embedded:{file}", receiver.url)) as daemon:
            starts, resident = _start_often(daemon)
            dues = _fill_near(file, waiting, seconds)
            daemon.start()
            daemon.ready()
            cpu = daemon.cpu_seconds()
            _wait(receiver, dues)
            cpu, at_end = daemon.cpu_seconds() - cpu, daemon.resident_bytes()
            daemon.terminate()
        receiver.close()
    late = _lateness(receiver.requests, dues)
    early = sum(each < 0 for each in late)
    print_histogram(late)
    missing = len(dues.keys() - {each.number for each in receiver.requests})
    cpu_us = cpu * 1e6 / len(dues)
    return Patience(median(starts), max(resident), at_end, spread(late), early, missing, cpu_us)


def _start_often(daemon: Served) -> tuple[list[float], list[int]]:
    starts, resident = [], []
    for _ in range(STARTS):
        began = daemon.start()
        starts.append(daemon.ready() - began)
        resident.append(daemon.resident_bytes())
        daemon.terminate()
        print(f"ready after {starts[-1]:.2f} s, {resident[-1] / 1e6:.0f} MB", flush=True)
    return starts, resident


def _fill_near(file: Path, first: int, seconds: int) -> dict[int, float]:
    now = time.time()
    dues = {
        first + number: round(now + SECONDS_TO_START + number / PER_SECOND, 3)
        for number in range(PER_SECOND * seconds)
    }
    fill(file, scheduled(iter(dues.items()), now))
    return dues


def _wait(receiver: Receiving, dues: dict[int, float]) -> None:
    last = max(dues.values()) + LONGEST_DELAY
    while receiver.count() < len(dues) and time.time() < last:
        time.sleep(0.1)


def _lateness(requests: list[Request], dues: dict[int, float]) -> list[float]:
    return [(each.arrived - dues[each.number]) * 1000 for each in requests]
