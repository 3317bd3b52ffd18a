"""Figures of what survives: kills, a broker that dies, many daemons, restarts, crash points."""

import json
import tempfile
from collections.abc import Mapping
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

SEED = 20
CRASH_POINTS = (
    "tests/system/test_crash_points.py",
    "tests/system/test_crash_requests.py",
    "tests/system/test_crash_store.py",
)


def chaos(broker: str, scale: Scale, **options: int) -> Mapping[str, float]:
    """Run bench.chaos; return its findings. Raises NotMeasuredError."""
    if not (ROOT / "bench/chaos.py").exists():
        raise NotMeasuredError("there is no bench/chaos.py")
    with tempfile.TemporaryDirectory(prefix="wr-figures-") as name:
        told = Path(name) / "findings.json"
        tempo = ("--tempo", "full" if scale.long else "brisk")
        named = {f"--{key.replace('_', '-')}": str(value) for key, value in options.items()}
        words = [word for pair in named.items() for word in pair]
        run_module("bench.chaos", "--broker", broker, *tempo, *words, "--json", str(told))
        if not told.exists():
            raise NotMeasuredError("bench.chaos ended without findings")
        (run,) = json.loads(told.read_text())["runs"]
        found: Mapping[str, float] = {**run["findings"], "passed": run["passed"]}
        return found


def lines_of(what: str, found: Mapping[str, float], *, bound: float | None = None) -> list[Line]:
    """Return what every run of chaos is judged by."""
    limit = found["bound"] if bound is None else bound
    return [
        most(f"{what}: lost", found["lost"], 0),
        most(f"{what}: early", found["early"], 0),
        most(f"{what}: requests repeated", found["duplicated"], limit),
        Line(f"{what}: verdict of the checker", *_verdict(found)),
    ]


def _verdict(found: Mapping[str, float]) -> tuple[str, str, bool]:
    passed = bool(found["passed"])
    return "passed" if passed else "failed", "passed", passed


def kills(scale: Scale) -> list[Line]:
    """A1: one daemon, killed at random, on each broker."""
    lines = []
    for broker in ("embedded", "rabbitmq") if scale.long else ("embedded",):
        found = chaos(
            broker,
            scale,
            daemons=1,
            tasks=scale.pick(1000, 100_000),
            kills=scale.pick(5, 50),
            seed=SEED,
        )
        lines += lines_of(broker, found)
    return lines


def broker_faults(scale: Scale) -> list[Line]:
    """A2: the broker killed and frozen, the line cut."""
    found = chaos(
        "rabbitmq",
        scale,
        daemons=1,
        tasks=scale.pick(1000, 100_000),
        kills=0,
        broker_kills=scale.pick(1, 20),
        pauses=scale.pick(1, 20),
        cuts=scale.pick(2, 20),
        seed=SEED,
    )
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
    lines = []
    for broker in ("embedded", "rabbitmq") if scale.long else ("embedded",):
        found = chaos(
            broker,
            scale,
            daemons=1,
            tasks=scale.pick(600, 20_000),
            kills=0,
            restarts=scale.pick(4, 100),
            seed=SEED,
        )
        lines += lines_of(broker, found, bound=0)
    return lines


FIGURES = (
    Figure("A1", "tasks survive kills of the daemon", kills),
    Figure("A2", "tasks survive kills, pauses and cuts of the broker", broker_faults),
    Figure("A3", "three daemons survive each other's kills", three_daemons),
    Figure("A4", "every crash point", crash_points),
    Figure("A5", "rolling restarts under load", restarts),
)
