"""Figures of what survives: kills, a broker that dies, many daemons, restarts, crash points."""

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bench.figure import (
    ROOT,
    Figure,
    Line,
    NotMeasuredError,
    Scale,
    most,
    run_module,
    run_tests,
)

Found = Mapping[str, float]
"""What one run of bench.chaos has found, by its names, and whether it has ``passed``."""

SEED = 20
RABBITMQ_FAULTS, RABBITMQ_RESTARTS, EMBEDDED_FAULTS, EMBEDDED_RESTARTS = range(4)
"""The runs of the long plan."""

CRASH_POINTS = (
    "tests/system/test_crash_points.py",
    "tests/system/test_crash_requests.py",
    "tests/system/test_crash_store.py",
)


def chaos(broker: str, scale: Scale, **options: int) -> Found:
    """Run bench.chaos; return its findings. Raises NotMeasuredError."""
    tempo = ("--tempo", "full" if scale.long else "brisk")
    named = {f"--{key.replace('_', '-')}": str(value) for key, value in options.items()}
    words = [word for pair in named.items() for word in pair]
    with tempfile.TemporaryDirectory(prefix="wr-figures-") as name:
        (found,) = _run(Path(name) / "findings.json", "--broker", broker, *tempo, *words)
    return found


@cache
def long_plan(scale: Scale) -> tuple[Found, ...]:
    """Return what the runs of the long plan have found, by their places in it."""
    if scale.chaos is not None:
        return _read(scale.chaos)
    with tempfile.TemporaryDirectory(prefix="wr-figures-") as name:
        return _run(Path(name) / "findings.json", "--plan", "long")


def _run(told: Path, *words: str) -> tuple[Found, ...]:
    if not (ROOT / "bench/chaos.py").exists():
        raise NotMeasuredError("there is no bench/chaos.py")
    run_module("bench.chaos", *words, "--json", str(told))
    return _read(told)


def _read(told: Path) -> tuple[Found, ...]:
    if not told.exists():
        raise NotMeasuredError(f"bench.chaos has left no findings in {told}")
    runs = json.loads(told.read_text())["runs"]
    return tuple({**run["findings"], "passed": run["passed"]} for run in runs)


def lines_of(what: str, found: Found, *, bound: float | None = None) -> list[Line]:
    """Return what every run of chaos is judged by."""
    limit = found["bound"] if bound is None else bound
    return [
        most(f"{what}: lost", found["lost"], 0),
        most(f"{what}: early", found["early"], 0),
        most(f"{what}: requests repeated", found["duplicated"], limit),
        Line(f"{what}: verdict of the checker", *_verdict(found)),
    ]


def _verdict(found: Found) -> tuple[str, str, bool]:
    passed = bool(found["passed"])
    return "passed" if passed else "failed", "passed", passed


def kills(scale: Scale) -> list[Line]:
    """A1: one daemon, killed at random."""
    if scale.long:
        return lines_of("embedded", long_plan(scale)[EMBEDDED_FAULTS])
    found = chaos("embedded", scale, daemons=1, tasks=1000, kills=5, seed=SEED)
    return lines_of("embedded", found)


def broker_faults(scale: Scale) -> list[Line]:
    """A2: the broker killed and frozen, the line cut, three daemons killed."""
    if scale.long:
        return lines_of("rabbitmq", long_plan(scale)[RABBITMQ_FAULTS])
    faults = {"kills": 0, "broker_kills": 1, "pauses": 1, "cuts": 2}
    found = chaos("rabbitmq", scale, daemons=1, tasks=1000, seed=SEED, **faults)
    return lines_of("rabbitmq", found)


def three_daemons(scale: Scale) -> list[Line]:
    """A3: three daemons share the queues, and are killed at random."""
    found = chaos(
        "rabbitmq",
        scale,
        daemons=3,
        tasks=scale.pick(1000, 100_000),
        kills=scale.pick(3, 30),
        seed=SEED,
    )
    return lines_of("rabbitmq", found)


def crash_points(scale: Scale) -> list[Line]:
    """A4: a daemon dies at every step of its work."""
    if scale.long:
        return [run_tests(CRASH_POINTS, times=20).line("crash points, 20 times")]
    return [run_tests(CRASH_POINTS, only="embedded").line("crash points, embedded broker")]


def restarts(scale: Scale) -> list[Line]:
    """A5: restarts in order under load repeat nothing at all."""
    if scale.long:
        found = long_plan(scale)
        return [
            *lines_of("embedded", found[EMBEDDED_RESTARTS], bound=0),
            *lines_of("rabbitmq", found[RABBITMQ_RESTARTS], bound=0),
        ]
    few = chaos("embedded", scale, daemons=1, tasks=600, kills=0, restarts=4, seed=SEED)
    return lines_of("embedded", few, bound=0)


FIGURES = (
    Figure("A1", "tasks survive kills of the daemon", kills),
    Figure("A2", "tasks survive kills, pauses and cuts of the broker too", broker_faults),
    Figure("A3", "three daemons survive each other's kills", three_daemons),
    Figure("A4", "every crash point", crash_points),
    Figure("A5", "rolling restarts under load", restarts),
)
