"""Are limits, attempts and roll-backs kept exactly? As the server sees it, request by request.

``python -m bench.limits [REQUESTS] [TASKS]``: so many for the limits, so many that fail.
"""

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.doors import ApiDoor
from bench.ground import config_for
from bench.received import Receiving, Request
from bench.served import Served
from tests.parts.ports import free_port

CONCURRENCY = 20
RATE, BUCKET = 400, 80
UNRULY_SECONDS = 0.05
"""Requests that were sent apart may arrive together by so much on a machine that is busy."""
BACKOFF, JITTER = 0.2, 0.5
MOST_RETRIES = 4
LONGEST = 600.0
_BATCH = 100
_BETWEEN = 0.5
"""Seconds from batch to batch of tasks that fail, so that their retries wait for nobody."""
_QUEUES = f"""
[breaker]
enabled = false
[queues.narrow]
concurrency = {CONCURRENCY}
[queues.paced]
concurrency = 50
rate = "{RATE}/s"
bucket_size = {BUCKET}
[queues.failing]
concurrency = 50
min_backoff_seconds = {BACKOFF}
max_backoff_seconds = {BACKOFF}
max_doublings = 0
jitter = {JITTER}
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server has seen.

    Attributes:
        requests: of all queues together.
        at_once: most requests of the narrow queue under way at one moment.
        above: most requests of the paced queue, in any stretch of time, above what the rate and
            one full bucket allow.

    """

    requests: int
    at_once: int
    above: float


@dataclass(frozen=True, slots=True)
class Endings:
    """What the server has seen of tasks that fail, and of some that succeed in the end.

    Attributes:
        failed: tasks that failed for good.
        wrong_attempts: tasks whose attempts are not 1 to 1 + max_retries.
        shortest, longest: seconds between an answer and the next attempt.
        roll_backs: of failed tasks.
        wrong_roll_backs: failed tasks with none or several, others with any.

    """

    failed: int
    wrong_attempts: int
    shortest: float
    longest: float
    roll_backs: int
    wrong_roll_backs: int


def measure_limits(requests: int) -> Limits:
    """Send half of the requests through a narrow queue, then half through a paced one."""
    half = requests // 2
    narrow = _carry_out(
        [{"queue": "narrow", "url": f"/slow-5/{number}"} for number in range(half)], half
    )
    paced = _carry_out([{"queue": "paced", "url": f"/ok/{number}"} for number in range(half)], half)
    above = most_above([each.arrived for each in paced], RATE, BUCKET)
    return Limits(len(narrow) + len(paced), most_at_once(narrow), above)


def most_at_once(requests: Iterable[Request]) -> int:
    """Return how many requests were under way at one moment, at most."""
    # At the same moment an end comes first: its answer is what lets the next one begin.
    turns = sorted(
        [(each.arrived, 1) for each in requests] + [(each.ended, -1) for each in requests]
    )
    now = greatest = 0
    for _, turn in turns:
        now += turn
        greatest = max(greatest, now)
    return greatest


def most_above(arrived: Sequence[float], rate: float, bucket: float) -> float:
    """Return by how many requests the worst stretch of time exceeds ``rate * t + bucket``.

    ``arrived`` are seconds in order. Below zero: it never comes near.
    """
    least, worst = float("inf"), float("-inf")
    for number, at in enumerate(arrived):
        least = min(least, number - rate * at)
        worst = max(worst, number - rate * at - least + 1)
    return worst - bucket


def measure_endings(tasks: int) -> Endings:
    """Let tasks fail: half of them for good, with 0 to 4 retries; half succeed at the last."""
    given = [_failing(number) for number in range(tasks)]
    calls = sum(_retries(number) + 1 + (number % 2) for number in range(tasks))
    ways: dict[int, list[Request]] = defaultdict(list)
    undone: dict[int, int] = defaultdict(int)
    for each in _carry_out(given, calls, _BETWEEN):
        if each.path.startswith("/undo"):
            undone[each.number] += 1
        else:
            ways[each.number].append(each)
    gaps = [
        after.arrived - before.ended for way in ways.values() for before, after in pairwise(way)
    ]
    wrong = sum(
        [each.attempt for each in ways[number]] != [*range(1, _retries(number) + 2)]
        for number in range(tasks)
    )
    wrong_undone = sum(undone[number] != number % 2 for number in range(tasks))
    failed = sum(number % 2 for number in range(tasks))
    return Endings(failed, wrong, min(gaps), max(gaps), sum(undone.values()), wrong_undone)


def _retries(number: int) -> int:
    return number // 2 % (MOST_RETRIES + 1)


def _failing(number: int) -> dict[str, object]:
    """Return a task that fails for good when its number is odd, else succeeds at the last try."""
    retries = _retries(number)
    path = f"/never/{number}" if number % 2 else f"/fail-{retries}/{number}"
    return {
        "queue": "failing",
        "url": path,
        "max_retries": retries,
        "roll_back": f"/undo/{number}",
    }


def _carry_out(
    tasks: Sequence[dict[str, object]], requests: int, between: float = 0.0
) -> list[Request]:
    """Run a daemon until so many requests have arrived; return all of them in order."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="wr-limits-") as name:
        directory = Path(name)
        with Receiving(directory) as receiver:
            receiver.prefer()
            config = config_for(f"embedded:{name}/queue.db", receiver.url, port=port) + _QUEUES
            with Served(directory, config) as daemon:
                daemon.start()
                daemon.ready()
                door = ApiDoor(port)
                for first in range(0, len(tasks), _BATCH):
                    door.post(json.dumps(tasks[first : first + _BATCH]).encode())
                    time.sleep(between)
                door.close()
                ended = time.monotonic() + LONGEST
                while receiver.count() < requests and time.monotonic() < ended:
                    time.sleep(0.1)
                # What should not come would come now.
                time.sleep(2 * BACKOFF)
                daemon.terminate()
            receiver.close()
            return sorted(receiver.requests, key=lambda each: each.arrived)


def main() -> int:
    print(measure_limits(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
    print(measure_endings(int(sys.argv[2]) if len(sys.argv) > 2 else 5_000))
    return 0


if __name__ == "__main__":
    sys.exit(main())
