"""Figures of what the daemon takes: memory, processor, descriptors; and what it leaves behind."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from bench import cycles, hostility, weight
from bench.figure import Figure, Line, NotMeasuredError, Scale, least, most, run_tests
from bench.figures_time import patience
from tests.parts.installation import Installation

HOUR = 3600.0


def idle(scale: Scale) -> list[Line]:
    """A7: with API and store, and nothing to do."""
    found = weight.measure_idle(scale.pick(10, 300))
    return [
        most("idle: resident", found.resident / 1e6, 90, "MB", ".1f"),
        most("idle: of one core", found.share * 100, 1, "%", ".2f"),
    ]


def backlog(scale: Scale) -> list[Line]:
    """A8: many tasks that are due, many that wait, and time."""
    tasks = scale.pick(20_000, 1_000_000)
    ways: dict[str, Callable[[int], weight.Backlog]] = {
        "embedded": weight.embedded_backlog,
        "rabbitmq": weight.rabbitmq_backlog,
    }
    lines = []
    for name, measure in ways.items():
        try:
            found = measure(tasks)
        except LookupError as error:
            raise NotMeasuredError(str(error)) from error
        what = f"{name}, {tasks} to do"
        lines.append(most(f"{what}: resident", found.resident / 1e6, 200, "MB", ".0f"))
        lines.append(most(f"{what}: start", found.start, 2, "s", ".2f"))
    waits = max(patience(scale).resident_at_start, patience(scale).resident_at_end)
    what = f"embedded, {scale.pick(20_000, 1_000_000)} scheduled: resident"
    lines.append(most(what, waits / 1e6, 200, "MB", ".0f"))
    return [*lines, growth(scale)]


def growth(scale: Scale) -> Line:
    """An hour shows a slope; a minute only that nothing runs away."""
    seconds = scale.pick(60, 3600)
    slope = weight.measure_growth(seconds)
    if scale.long:
        return most("growth over an hour of load", slope * HOUR / 1e6, 1, "MB/h", ".2f")
    return most("growth in a minute of load", slope * seconds / 1e6, 8, "MB", ".2f")


def hostile(scale: Scale) -> list[Line]:
    """A9: bombs, endless answers and drips, a hundred at once."""
    lines = []
    for name, found in hostility.measure(scale.pick(100, 100)).items():
        lines += [
            most(f"100 x {name}: memory of each", found.growth / 1e6, 2, "MB", ".2f"),
            most(f"100 x {name}: past the deadline", found.overtime * 1000, 50, "ms", ".0f"),
            least(f"100 x {name}: good tasks beside", found.share * 100, 95, "%", ".0f"),
        ]
    return lines


def leftovers(scale: Scale) -> list[Line]:
    """A10: after each fault, and after each life."""
    tests = run_tests(
        [
            "tests/system/test_resources_faults.py",
            "tests/system/test_resources_broker.py",
            "tests/system/test_resources_limits.py",
        ],
        times=scale.pick(1, 10),
    )
    lines = [tests.line("descriptors, threads, tasks after each fault")]
    grounds: dict[str, Callable[[Path], AbstractContextManager[cycles.Ground]]] = {
        "embedded": cycles.embedded,
        "rabbitmq": cycles.rabbitmq,
    }
    if Installation.find() is None:
        raise NotMeasuredError("no RabbitMQ is installed here")
    for name, lay in grounds.items():
        count = scale.pick(5, 100)
        with tempfile.TemporaryDirectory(prefix="wr-figures-") as directory:
            place = Path(directory)
            with lay(place) as ground:
                left = cycles.carry_out(ground, count, place, Console(quiet=True))
        told = ", ".join(f"{number} {kind}" for kind, number in left.items()) or "nothing"
        lines.append(Line(f"{name}: left after {count} lives", told, "nothing", not left))
    return lines


FIGURES = (
    Figure("A7", "an idle daemon", idle),
    Figure("A8", "memory with a backlog and over time", backlog),
    Figure("A9", "hostile endpoints", hostile),
    Figure("A10", "nothing is left behind", leftovers),
)
