"""Feed every target for so many seconds, say what came of it, and keep what breaks one.

``python -m tests.fuzz [--seconds 60] [--only TARGET,...] [--jobs 2] [--keep]``
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.fuzz.keeping import keep
from tests.fuzz.place import TARGETS, corpus_of

# Inputs found on the way; not in the repository, so that a campaign goes on where one ended.
FOUND = Path(".fuzz")
LONGEST_INPUT = 4096
_LONGEST_START = 60
_SLOWEST_INPUT = 10
_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Campaign:
    """What came of feeding one target; ``log`` is what the fuzzer said."""

    target: str
    executions: int
    new_inputs: int
    crashes: tuple[Path, ...]
    is_broken: bool
    log: str

    def __str__(self) -> str:
        counts = f"{self.executions} executions, {self.new_inputs} new inputs"
        return f"{self.target:<14} {counts}, {len(self.crashes)} crashes"


def fed(target: str, seconds: int) -> Campaign:
    """Run the fuzzer in a process of its own; what breaks the target goes to its kept inputs."""
    kept, found = corpus_of(target), FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    before = set(kept.glob("*-*"))
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={_SLOWEST_INPUT}",
        f"-artifact_prefix={kept}/",
        "-print_final_stats=1",
    ]
    ended = _fuzzer(target, [*options, str(found), str(kept)], seconds + _LONGEST_START)
    told = {name: int(number) for name, number in _STATISTIC.findall(ended.stdout)}
    return Campaign(
        target,
        told.get("number_of_executed_units", 0),
        told.get("new_units_added", 0),
        tuple(sorted(set(kept.glob("*-*")) - before)),
        ended.returncode != 0,
        ended.stdout,
    )


def _fuzzer(target: str, options: list[str], seconds: float) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.under_atheris", target, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def campaigns(targets: list[str], seconds: int, jobs: int) -> Iterator[Campaign]:
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(partial(fed, seconds=seconds), targets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", default=",".join(TARGETS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    targets = [name for name in given.only.split(",") if name]
    broken = 0
    for campaign in campaigns(targets, given.seconds, given.jobs):
        print(campaign, flush=True)
        if campaign.is_broken:
            broken += 1
            print(campaign.log[-4000:], *campaign.crashes, sep="\n", flush=True)
        elif given.keep:
            print(f"  {keep(campaign.target, FOUND / campaign.target)} kept", flush=True)
    print(f"{len(targets) - broken} of {len(targets)} targets held")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
