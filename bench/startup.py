"""How long does the command line take to answer? Help pages, from a cold start of Python.

``python -m bench.startup [RUNS]``: the median and the least of so many runs (9) of each, as wall
time and as CPU time. Ends with 1 when the median of one is above 300 ms.
"""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

GOAL_SECONDS = 0.3
PAGES = (
    ("--version",),
    ("--help",),
    ("status", "-h"),
    ("dead", "replay", "-h"),
    ("send", "-h"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One start: seconds by the clock on the wall, and of the processor."""

    wall: float
    cpu: float


def run(*arguments: str) -> Run:
    """Start the command once and wait for its end."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "webhook_runner", *arguments],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall, after = time.perf_counter() - began, os.times()
    user = after.children_user - before.children_user
    return Run(wall, user + after.children_system - before.children_system)


def measure(arguments: tuple[str, ...], times: int) -> float:
    """Print how long a page takes; return the median in seconds."""
    run(*arguments)  # compiles what was not compiled yet
    runs = [run(*arguments) for _ in range(times)]
    walls, cpus = [each.wall for each in runs], [each.cpu for each in runs]
    median = statistics.median(walls)
    print(
        f"{' '.join(arguments):20} median {_ms(median)}, least {_ms(min(walls))},"
        f" CPU {_ms(statistics.median(cpus))}, least {_ms(min(cpus))}"
    )
    return median


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:5.0f} ms"


def main() -> int:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    slow = [page for page in PAGES if measure(page, times) > GOAL_SECONDS]
    for page in slow:
        print(f"FAIL: {' '.join(page)} takes more than {GOAL_SECONDS * 1000:.0f} ms")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
