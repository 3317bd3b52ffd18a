"""How late are delayed tasks? Random countdowns through a real RabbitMQ, and a histogram.

``python -m bench.lateness [TASKS] [LONGEST_SECONDS]``: exit code 1 when a task was early or lost.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pika

from bench.histogram import print_histogram, spread
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


def report(requests: list[Request], sent: dict[str, tuple[float, float]]) -> int:
    late, early = [], 0
    ids = Counter(request.header("Webhook-Runner-Task-Id") or "" for request in requests)
    for request in requests:
        published, countdown = sent[request.header("Webhook-Runner-Task-Id") or ""]
        due = datetime.fromisoformat(request.header("Webhook-Runner-Eta") or "").timestamp()
        early += request.arrived_at < max(due, published + countdown)
        late.append((request.arrived_at - due) * 1000)
    print_histogram(late)
    found = spread(late)
    print(f"tasks {len(sent)}  late p50 {found.p50:.1f} ms", end="  ")
    print(f"p99 {found.p99:.1f} ms  max {found.most:.1f} ms")
    lost, twice = len(sent) - len(ids), sum(ids.values()) - len(ids)
    verdict = "FAIL" if early or lost else "PASS"
    print(f"early {early} lost {lost} duplicated {twice} {verdict}")
    return int(bool(early or lost))


def main() -> int:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    longest = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    broker = obtain_broker()
    if broker is None:
        print(HOW_TO_GET_ONE)
        return 69
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
            code = report(list(receiver.requests), sent)
            daemon.terminate()
    broker.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
