"""Run the tests many times, each time in another order, until one fails.

``python -m bench.repeat --times 20 --system-times 3 --workers 2 [PATH...]``
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.parts.any_order import VARIABLE

QUICK = ("tests/unit", "tests/fuzz", "tests/contract", "tests/journey")
SYSTEM = ("tests/system",)
LOGS = Path(".repeat")
_SHOWN_LINES = 60


def passes(paths: tuple[str, ...], order: int, workers: int, log: Path) -> bool:
    """Run the tests under ``paths`` once; ``log`` gets what pytest says."""
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.parts.any_order",
        "-p",
        "no:cacheprovider",
    ]
    parallel = ["-n", str(workers), "--dist", "loadfile"]
    with log.open("wb") as out:
        ended = subprocess.run(
            [*pytest, *parallel, *paths],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, VARIABLE: str(order)},
            check=False,
        )
    return ended.returncode == 0


def repeated(paths: tuple[str, ...], times: int, workers: int) -> str:
    """Return the closing line; end the program with the log of the first run that failed."""
    name = " ".join(paths)
    for order in range(1, times + 1):
        log = LOGS / f"{paths[0].replace('/', '-')}-{order}.log"
        began = time.monotonic()
        passed = passes(paths, order, workers, log)
        said = "passed" if passed else "FAILED"
        print(f"{name}: {order} of {times} {said} in {time.monotonic() - began:.0f} s", flush=True)
        if not passed:
            print(*log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:], sep="\n")
            sys.exit(
                f"{order - 1} of {times} passed; {log} has the whole, {VARIABLE}={order} again"
            )
        log.unlink()
    return f"{times} of {times} passed: {name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--system-times", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("paths", nargs="*", help="instead of all tests")
    given = parser.parse_args()
    LOGS.mkdir(exist_ok=True)
    if given.paths:
        closing = [repeated(tuple(given.paths), given.times, given.workers)]
    else:
        closing = [
            repeated(QUICK, given.times, given.workers),
            repeated(SYSTEM, given.system_times, given.workers),
        ]
    print(*closing, sep="\n")


if __name__ == "__main__":
    main()
