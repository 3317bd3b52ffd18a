"""Figures of time: lateness, recovery, clocks that are set."""

import tempfile
from functools import cache
from pathlib import Path

from bench import lateness, recovery
from bench.figure import Figure, Line, NotMeasuredError, Scale, most, run_tests
from bench.histogram import Spread
from bench.scheduled import Patience, measure_patience

DELAYED_PER_SECOND = 1000
"""The pace at which tasks are handed in; all at once is the question of the race's
``delay_accuracy``."""


@cache
def patience(scale: Scale) -> Patience:
    """Measure the embedded broker with many tasks that wait: once, for two figures."""
    with tempfile.TemporaryDirectory(prefix="wr-figures-") as name:
        waiting, seconds = scale.pick(20_000, 1_000_000), scale.pick(10, 60)
        return measure_patience(Path(name), waiting, seconds)


def lates(where: str, late: Spread, early: int, lost: int) -> list[Line]:
    return [
        most(f"{where}: early", early, 0),
        most(f"{where}: lost", lost, 0),
        most(f"{where}: late, half of all", late.p50, 5, "ms", ".1f"),
        most(f"{where}: late, 99 of 100", late.p99, 50, "ms", ".1f"),
        most(f"{where}: late, the last", late.most, 1000, "ms", ".0f"),
    ]


def punctuality(scale: Scale) -> list[Line]:
    """A6: countdowns of up to a minute, of tasks that come at an even pace."""
    waits = patience(scale)
    lines = lates("embedded", waits.late, waits.early, waits.missing)
    try:
        tasks, longest = scale.pick(3000, 100_000), scale.pick(15, 60)
        found = lateness.measure(tasks, longest, DELAYED_PER_SECOND)
    except LookupError as error:
        raise NotMeasuredError(str(error)) from error
    return lines + lates("rabbitmq", found.late, found.early, found.lost)


def recoveries(scale: Scale) -> list[Line]:
    """A15: a start, and the broker's return."""
    try:
        found = recovery.measure(scale.pick(1, 10))
    except LookupError as error:
        raise NotMeasuredError(str(error)) from error
    return [
        most("embedded: ready after its start", found.embedded, 2, "s", ".2f"),
        most("rabbitmq: ready after its start", found.rabbitmq, 2, "s", ".2f"),
        most("/readyz after the broker's end", found.unready, 2, "s", ".2f"),
        most("/readyz after its return, tries 2 s apart", found.ready_again, 5, "s", ".2f"),
        most("first delivery then", found.delivered_again, 5, "s", ".2f"),
    ]


def clocks(scale: Scale) -> list[Line]:
    """A16: a wall clock that is set by an hour, a day, to 1970; a daemon that is frozen."""
    tests = run_tests(["tests/system/test_resources_clock.py"], times=scale.pick(1, 10))
    return [tests.line("clock set: none early, double, stuck")]


FIGURES = (
    Figure("A6", "tasks are on time and never early", punctuality),
    Figure("A15", "start and recovery", recoveries),
    Figure("A16", "clocks that are set", clocks),
)
