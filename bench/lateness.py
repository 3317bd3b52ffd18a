"""How late are delayed tasks? Random countdowns through a real RabbitMQ, and a histogram.

``python -m bench.lateness [TASKS] [LONGEST_SECONDS] [PER_SECOND]``: exit code 1 when a task was
early or lost.
"""

import math
import sys

from bench.histogram import print_histogram
from bench.race.arena import open_arena
from bench.race.sink import Sink
from bench.race.times import Lateness, lateness

EX_UNAVAILABLE = 69


def measure(tasks: int, longest: float, per_second: float = math.inf) -> Lateness:
    """Run a daemon and let tasks become due; print how it went.

    Raises:
        LookupError: there is no RabbitMQ, or no C compiler for the receiver.

    """
    with open_arena() as arena, Sink(arena.directory) as sink:
        found = lateness(arena, sink, tasks, (0, longest), per_second)
    print(f"daemon: {found.cpu_us:.0f} us of CPU per task", end=", ")
    print(f"{found.parked_per_s:.0f} tasks/s taken from the queue while they were published")
    print_histogram(found.milliseconds)
    return found


def main() -> int:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    longest = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    per_second = float(sys.argv[3]) if len(sys.argv) > 3 else math.inf
    try:
        found = measure(tasks, longest, per_second)
    except LookupError as error:
        print(error.args[0])
        return EX_UNAVAILABLE
    late, verdict = found.late, "PASS" if found.holds else "FAIL"
    print(f"tasks {tasks}  late p50 {late.p50:.1f} ms", end="  ")
    print(f"p99 {late.p99:.1f} ms  max {late.most:.1f} ms")
    print(f"early {found.early} lost {found.lost} duplicated {found.twice} {verdict}")
    return int(not found.holds)


if __name__ == "__main__":
    sys.exit(main())
