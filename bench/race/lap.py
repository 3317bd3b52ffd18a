"""One run of a worker, as numbers: the steady window of it, and what medians are taken of."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

BEGIN, END = 0.15, 0.95
"""The steady window: from this part of the requests to that one."""


_TICK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Reading:
    """How far it was at one moment: seconds, requests, CPU seconds of worker and receiver."""

    at: float
    done: int
    cpu: float
    receiver_cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Lap:
    """One run.

    Attributes:
        per_second: requests a second in the steady window, as the receiver saw them.
        cpu_us: microseconds of CPU of the whole worker for each.
        resident: bytes at the most, of all its processes.
        proportional: the same, what they share counted once.
        receiver: the share of one core that the receiver took.

    """

    per_second: float
    cpu_us: float
    resident: int = 0
    proportional: int = 0
    receiver: float = 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """The medians of some runs; of the rate also the least and the most."""

    per_second: float
    least: float
    most: float
    cpu_us: float
    resident: int
    proportional: int
    receiver: float
    runs: int


def judge(
    times: Sequence[float],
    begin: Reading,
    end: Reading,
    requests: int,
    resident: int = 0,
    proportional: int = 0,
) -> Lap:
    """Return the run whose requests came at these times (epoch seconds, in order)."""
    first, last = int(requests * BEGIN), int(requests * END) - 1
    done = max(end.done - begin.done, 1)  # both readings are one when it was over at once
    return Lap(
        (last - first) / (times[last] - times[first]),
        (end.cpu - begin.cpu) * 1e6 / done,
        resident,
        proportional,
        (end.receiver_cpu - begin.receiver_cpu) / max(end.at - begin.at, _TICK_SECONDS),
    )


def summary(laps: Sequence[Lap]) -> Summary:
    """Return the medians of at least one run; of memory the most."""
    rates = [lap.per_second for lap in laps]
    return Summary(
        per_second=median(rates),
        least=min(rates),
        most=max(rates),
        cpu_us=median(lap.cpu_us for lap in laps),
        resident=max(lap.resident for lap in laps),
        proportional=max(lap.proportional for lap in laps),
        receiver=median(lap.receiver for lap in laps),
        runs=len(laps),
    )


def ratio(ours: Summary | None, theirs: Summary | None) -> float | None:
    """Return how many times their rate ours is, or None where one of them is not there."""
    if ours is None or theirs is None:
        return None
    return ours.per_second / theirs.per_second
