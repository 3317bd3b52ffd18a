"""How late are delayed tasks? Random countdowns through a real RabbitMQ, and a histogram.

``python -m bench.lateness [TASKS] [LONGEST_SECONDS]``: exit code 1 when a task was early or lost.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pika

from bench.histogram import Spread, print_histogram, spread
from tests.parts.broker import HOW_TO_GET_ONE, obtain_broker
from tests.parts.daemon import Daemon
from tests.parts.receiver import Receiver, Request

SEED = 20
CONFIG = """
server = "{broker}"
base_url = "{receiver}"
[api]
listen = "127.0.0.1:0"
[log]
level = "info"
[queues.default]
concurrency = 50
"""


def publish(url: str, tasks: int, longest: float) -> dict[str, tuple[float, float]]:
    """Publish tasks with random countdowns; answer when each was published, and its countdown."""
    dice = random.Random(SEED)
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    properties = pika.BasicProperties(delivery_mode=2)  # type: ignore[no-untyped-call]
    sent = {}
    for number in range(tasks):
        countdown = round(dice.uniform(0, longest), 3)
        message = {
            "url": "/t",
            "id": f"t{number}",
            "countdown": countdown,
            "payload": {"n": number},
        }
        sent[f"t{number}"] = (time.time(), countdown)
        channel.basic_publish("", "default", json.dumps(message).encode(), properties)
    connection.close()
    return sent


def wait(receiver: Receiver, tasks: int, timeout: float) -> None:
    """Wait until every task has arrived, telling how it goes every five seconds."""
    ended = time.monotonic() + timeout
    while len(receiver.requests) < tasks and time.monotonic() < ended:
        try:
            receiver.wait_for(tasks, timeout=5)
        except TimeoutError:
            print(f"  {len(receiver.requests)} of {tasks} arrived", flush=True)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Lateness:
    """How a run went: milliseconds from due until arrival, and tasks that went wrong."""

    late: Spread
    early: int
    lost: int
    twice: int

    @property
    def holds(self) -> bool:
        return not (self.early or self.lost)


def judge(requests: list[Request], sent: dict[str, tuple[float, float]]) -> Lateness:
    """Compare what arrived with what was published, and print a histogram."""
    late, early = [], 0
    ids = Counter(request.header("Webhook-Runner-Task-Id") or "" for request in requests)
    for request in requests:
        published, countdown = sent[request.header("Webhook-Runner-Task-Id") or ""]
        due = datetime.fromisoformat(request.header("Webhook-Runner-Eta") or "").timestamp()
        early += request.arrived_at < max(due, published + countdown)
        late.append((request.arrived_at - due) * 1000)
    print_histogram(late)
    lost, twice = len(sent) - len(ids), sum(ids.values()) - len(ids)
    return Lateness(spread(late), early, lost, twice)


def measure(tasks: int, longest: float) -> Lateness:
    """Run a daemon and let tasks become due; prints how it goes.

    Raises:
        LookupError: there is no RabbitMQ.

    """
    broker = obtain_broker()
    if broker is None:
        raise LookupError(HOW_TO_GET_ONE)
    with Receiver() as receiver:
        config = CONFIG.format(broker=broker.url, receiver=receiver.url)
        with Daemon(config) as daemon:
            daemon.ready()
            began = time.monotonic()
            sent = publish(broker.url, tasks, longest)
            print(f"published {tasks} tasks in {time.monotonic() - began:.1f} s")
            wait(receiver, tasks, longest * 3 + 120)
            spent = cpu_seconds(daemon.pid)
            print(f"daemon: {spent * 1e6 / tasks:.0f} us of CPU per task")
            found = judge(list(receiver.requests), sent)
            daemon.terminate()
    broker.close()
    return found


def main() -> int:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    longest = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    try:
        found = measure(tasks, longest)
    except LookupError as error:
        print(error.args[0])
        return 69
    late, verdict = found.late, "PASS" if found.holds else "FAIL"
    print(f"tasks {tasks}  late p50 {late.p50:.1f} ms", end="  ")
    print(f"p99 {late.p99:.1f} ms  max {late.most:.1f} ms")
    print(f"early {found.early} lost {found.lost} duplicated {found.twice} {verdict}")
    return int(not found.holds)


if __name__ == "__main__":
    sys.exit(main())
