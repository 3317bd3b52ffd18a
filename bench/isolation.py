"""How much of their rate good hosts keep beside a dead one, and a slow one, of their queue.

``python -m bench.isolation``: exit code 1 when they keep less than 95 % of their rate.
"""

import argparse
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.doors import ApiDoor
from bench.received import Receiving
from bench.served import Served
from tests.parts.ports import free_port

TARGET = 0.95
GOOD_MS, SLOW_MS = 20, 2000
STEP_SECONDS = 0.1
BACKLOG = 2000
BATCH = 500
CONCURRENCY = 20
_GRACE_SECONDS = 1.0
_CONFIG = """
server = "embedded:{directory}/queue.db"
[api]
listen = "127.0.0.1:{port}"
[store]
url = "none"
[log]
format = "json"
[queues.default]
concurrency = {concurrency}
timeout = 5
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Good tasks a second that were done, and how late the 99th of a hundred came (ms)."""

    per_second: float
    late_ms: float


@contextmanager
def nobody(_directory: Path) -> Iterator[str]:
    """Have no other host."""
    yield ""


@contextmanager
def dead(_directory: Path) -> Iterator[str]:
    """Give the URL of a port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"


@contextmanager
def slow(directory: Path) -> Iterator[str]:
    """Give a URL that is answered after a while."""
    place = directory / "slow"
    place.mkdir()
    with Receiving(place) as receiver:
        yield f"{receiver.url}/slow-{SLOW_MS}/0"


HOSTS = {"no other host": nobody, "a dead host": dead, "a slow host": slow}


def measure(directory: Path, kind: str, rate: int, seconds: float) -> Run:
    """Post good tasks at a steady pace, behind a backlog for the other host."""
    port = free_port()
    config = _CONFIG.format(directory=directory, port=port, concurrency=CONCURRENCY)
    with ExitStack() as stack:
        other = stack.enter_context(HOSTS[kind](directory))
        good = [stack.enter_context(_receiving(directory / name)) for name in ("one", "two")]
        daemon = stack.enter_context(Served(directory, config))
        daemon.start()
        daemon.ready()
        door = ApiDoor(port)
        for _ in range(BACKLOG // BATCH if other else 0):
            door.post(_bodies([other] * BATCH))
        posted = _pace(door, [each.url for each in good], rate, seconds)
        time.sleep(_GRACE_SECONDS)
        daemon.kill()
        door.close()
    return _found(posted, good, seconds)


def _receiving(directory: Path) -> Receiving:
    directory.mkdir()
    return Receiving(directory)


def _bodies(urls: list[str]) -> bytes:
    return json.dumps([{"url": url, "max_retries": 100} for url in urls]).encode()


def _pace(door: ApiDoor, hosts: list[str], rate: int, seconds: float) -> list[float]:
    """Post tasks step by step; return when each was posted, by its number."""
    posted: list[float] = []
    began = time.monotonic()
    for step in range(round(seconds / STEP_SECONDS)):
        time.sleep(max(0.0, began + step * STEP_SECONDS - time.monotonic()))
        numbers = range(len(posted), round((step + 1) * rate * STEP_SECONDS))
        posted += [time.time()] * len(numbers)
        door.post(_bodies([f"{hosts[n % len(hosts)]}/slow-{GOOD_MS}/{n}" for n in numbers]))
    return posted


def _found(posted: list[float], good: list[Receiving], seconds: float) -> Run:
    until = posted[0] + seconds + _GRACE_SECONDS
    done = [
        each for host in good for each in host.requests if each.succeeded and each.arrived < until
    ]
    late = sorted(each.arrived - posted[each.number] for each in done)
    return Run(len(done) / seconds, late[int(len(late) * 0.99)] * 1000 if late else float("inf"))


def compare(rate: int, seconds: float, runs: int) -> bool:
    """Print every run and the ratios; tell whether the good hosts keep what they should."""
    found: dict[str, list[Run]] = {kind: [] for kind in HOSTS}
    for _ in range(runs):
        for kind, sofar in found.items():
            with tempfile.TemporaryDirectory() as directory:
                sofar.append(measure(Path(directory), kind, rate, seconds))
            run = sofar[-1]
            print(f"{kind:<14} {run.per_second:7.1f}/s  p99 {run.late_ms:7.0f} ms late", flush=True)
    rates = {kind: median(run.per_second for run in each) for kind, each in found.items()}
    alone, *others = HOSTS
    holds = True
    for kind in others:
        ratio = rates[kind] / rates[alone]
        holds = holds and ratio >= TARGET
        verdict = "holds" if ratio >= TARGET else "MISSED"
        print(f"beside {kind}: {ratio:.1%} of {rates[alone]:.1f}/s, >= {TARGET:.0%}  {verdict}")
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.isolation", description=__doc__)
    parser.add_argument("--rate", type=int, default=100, help="good tasks posted each second")
    parser.add_argument("--seconds", type=float, default=20, help="for how long")
    parser.add_argument("--runs", type=int, default=3, help="of each kind, in turn")
    wanted = parser.parse_args()
    return 0 if compare(wanted.rate, wanted.seconds, wanted.runs) else 1


if __name__ == "__main__":
    sys.exit(main())
