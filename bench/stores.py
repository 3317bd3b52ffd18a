"""What does it cost to know of every task? One core with no store, SQLite and PostgreSQL in turn.

``python -m bench.stores``: exit code 0 when neither store costs a quarter of the rate.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from statistics import median

from bench.rate import OTHERS_CPU, Pace, already_queued, by_api
from tests.parts.postgresql import HOW_TO_GET_ONE, obtain_server, own_schema

MOST_LOST = 0.25
WAYS: Mapping[str, Callable[[Path, int, str], Pace]] = {
    "already queued": already_queued,
    "by the API": by_api,
}
Found = dict[tuple[str, str], list[Pace]]


@contextmanager
def stores() -> Iterator[Mapping[str, Callable[[Path], AbstractContextManager[str]]]]:
    """Give each run an empty store, by its directory; a PostgreSQL server runs meanwhile."""
    server = obtain_server()
    if server is None:
        raise SystemExit(HOW_TO_GET_ONE)
    try:
        yield {
            "none": lambda _: nullcontext("none"),
            "sqlite": lambda place: nullcontext(f"sqlite:{place}/state.db"),
            "postgresql": lambda _: own_schema(server.url),
        }
    finally:
        server.close()


def measure(directory: Path, tasks: int, runs: int) -> Found:
    """Measure all in turn, so that what disturbs one run does not disturb one store only."""
    found: Found = {}
    with stores() as named:
        os.sched_setaffinity(0, {OTHERS_CPU})
        for number in range(runs):
            for way, carry in WAYS.items():
                for store, empty in named.items():
                    place = directory / f"{number}-{store}-{way.replace(' ', '-')}"
                    place.mkdir()
                    with empty(place) as url:
                        pace = carry(place, tasks, url)
                    found.setdefault((way, store), []).append(pace)
                    print(f"{way}, {store}: {pace.per_second:.0f} tasks/s", flush=True)
    return found


def told(found: Found) -> bool:
    """Print the medians, and each store's loss against none; whether all are small enough."""
    fine = True
    for (way, store), paces in found.items():
        rate = median(pace.per_second for pace in paces)
        cpu = median(pace.cpu_us for pace in paces)
        before = median(pace.per_second for pace in found[way, "none"])
        lost = 1 - rate / before
        fine = fine and lost < MOST_LOST
        print(
            f"{way:<16} {store:<11} {rate:>7.0f} tasks/s {cpu:>5.0f} us of CPU"
            f"   loss {lost:>6.1%} {'holds' if lost < MOST_LOST else 'MISSED'}"
        )
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stores", description=__doc__)
    parser.add_argument("--tasks", type=int, default=30_000, help="of each run")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wr-stores-") as name:
        found = measure(Path(name), chosen.tasks, chosen.runs)
    return 0 if told(found) else 1


if __name__ == "__main__":
    sys.exit(main())
