"""The figures of the embedded broker: a million tasks that wait, and the rate of one core.

``python -m bench.embedded``: exit code 0 when every target holds.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.rate import measure_rates
from bench.scheduled import measure_patience

PARTS = ("scheduled", "rate")


@dataclass(frozen=True, slots=True)
class Target:
    """A figure beside what it has to be: at most, or at least, so much."""

    what: str
    figure: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def line(self) -> str:
        word = ">=" if self.at_least else "<="
        verdict = "holds" if self.holds else "MISSED"
        return (
            f"{self.what:<42} {self.figure:>10.1f} {word} {self.limit:<6g} {self.unit:<8} {verdict}"
        )


def scheduled_targets(directory: Path, waiting: int, seconds: int) -> list[Target]:
    found = measure_patience(directory, waiting, seconds)
    late = found.late
    print(f"late p50 {late.p50:.1f} ms  p99 {late.p99:.1f} ms  max {late.most:.1f} ms", end="  ")
    print(f"daemon {found.cpu_us:.0f} us of CPU per task")
    return [
        Target(f"start with {waiting} scheduled", found.start_seconds, 3, "s"),
        Target("resident after the start", found.resident_at_start / 1e6, 150, "MB"),
        Target("resident after the measured time", found.resident_at_end / 1e6, 150, "MB"),
        Target("late, 99th percentile", late.p99, 50, "ms"),
        Target("early", found.early, 0, "tasks"),
        Target("missing", found.missing, 0, "tasks"),
    ]


def rate_targets(directory: Path, tasks: int, runs: int) -> list[Target]:
    targets = []
    for rate in measure_rates(directory, tasks, runs):
        print(f"{rate.name}: median {rate.cpu_us:.0f} us of CPU per task", end=", ")
        print(f"fastest run {rate.best.per_second:.0f} tasks/s")
        name = f"end to end on one core, {rate.name}"
        targets.append(Target(name, rate.per_second, 2000, "tasks/s", at_least=True))
    return targets


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.embedded", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--scheduled", type=int, default=1_000_000, metavar="TASKS")
    parser.add_argument("--seconds", type=int, default=60, help="how long 500 a second are due")
    parser.add_argument("--tasks", type=int, default=30_000, help="of each run of the rate")
    parser.add_argument("--runs", type=int, default=5, help="of each rate")
    chosen = parser.parse_args()
    targets: list[Target] = []
    with tempfile.TemporaryDirectory(prefix="wr-embedded-") as name:
        if chosen.only != "rate":
            targets += scheduled_targets(Path(name), chosen.scheduled, chosen.seconds)
        if chosen.only != "scheduled":
            targets += rate_targets(Path(name), chosen.tasks, chosen.runs)
    for target in targets:
        print(target.line())
    return 0 if all(target.holds for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
