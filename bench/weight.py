"""What a daemon weighs: idle, with a backlog, and over time under load; in bytes and seconds.

``python -m bench.weight [BACKLOG] [SECONDS]``: a backlog of so many tasks on each broker, and the
growth over so many seconds.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

import pika

from bench.doors import ApiDoor
from bench.filling import QUEUE, body, fill, queued
from bench.ground import config_for
from bench.received import Receiving
from bench.served import Served
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.ports import free_port

WARM_SECONDS = 5.0
WATCHED_SECONDS = 10.0
WARM_TASKS = 15_000
"""So many fill all that the daemon remembers of tasks, of which there is a most of 10 000."""
PER_SECOND = 100
"""Tasks handed in while the growth is measured."""
_QUIET_SECONDS = 3.0
_KINDS: tuple[dict[str, object], ...] = (
    {"url": "/ok/1"},
    {"url": "/fail-1/2"},
    {"url": "/slow-50/3"},
    {"url": "/ok/4", "countdown": 2},
    {"url": "/never/5", "max_retries": 0, "roll_back": "/undo/5"},
)


@dataclass(frozen=True, slots=True)
class Idle:
    """Bytes, and the share of one core."""

    resident: int
    share: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """With so many tasks waiting to be done: seconds to start and to stop, most bytes at work."""

    start: float
    resident: int
    stop: float


def measure_idle(seconds: float) -> Idle:
    """Let a daemon with its API and store do nothing for so long."""
    with tempfile.TemporaryDirectory(prefix="wr-idle-") as name:
        config = config_for(
            f"embedded:{name}/queue.db",
            "http://127.0.0.1:1",
            port=free_port(),
            store=f"sqlite:{name}/state.db",
        )
        with Served(Path(name), config) as daemon:
            daemon.start()
            daemon.ready()
            time.sleep(WARM_SECONDS)
            began, spent = time.monotonic(), daemon.cpu_seconds()
            time.sleep(seconds)
            share = (daemon.cpu_seconds() - spent) / (time.monotonic() - began)
            return Idle(daemon.resident_bytes(), share)


def embedded_backlog(tasks: int) -> Backlog:
    """Start a daemon on a queue file with so many tasks that are due."""
    with tempfile.TemporaryDirectory(prefix="wr-backlog-") as name:
        directory = Path(name)
        fill(directory / "queue.db", queued(range(tasks)))
        return _with_backlog(directory, f"embedded:{directory}/queue.db")


def rabbitmq_backlog(tasks: int) -> Backlog:
    """Start a daemon on a RabbitMQ queue with so many tasks that are due.

    Raises:
        LookupError: there is no RabbitMQ.

    """
    if Installation.find() is None:
        raise LookupError("no RabbitMQ is installed here")
    with tempfile.TemporaryDirectory(prefix="wr-backlog-") as name, RabbitNode.start() as node:
        _declare(Path(name), node.url)
        connection = pika.BlockingConnection(pika.URLParameters(node.url))
        channel = connection.channel()
        properties = pika.BasicProperties(delivery_mode=2)  # type: ignore[no-untyped-call]
        for number in range(tasks):
            channel.basic_publish("", QUEUE, body(number), properties)
        connection.close()
        return _with_backlog(Path(name), node.url)


def _declare(directory: Path, url: str) -> None:
    """Let a daemon make its queues."""
    with Served(directory, config_for(url, "http://127.0.0.1:1")) as daemon:
        daemon.start()
        daemon.ready()
        daemon.terminate()


def _with_backlog(directory: Path, server: str) -> Backlog:
    with Receiving(directory) as receiver:
        with Served(directory, config_for(server, receiver.url)) as daemon:
            began = daemon.start()
            start = daemon.ready() - began
            resident = max(_samples(daemon, WATCHED_SECONDS, lambda: None))
            began = time.monotonic()
            if code := daemon.terminate():
                raise RuntimeError(f"ended with {code}:\n{daemon.tail()}")
            stop = time.monotonic() - began
        print(f"{receiver.count()} done meanwhile, {resident / 1e6:.0f} MB", flush=True)
    return Backlog(start, resident, stop)


def measure_growth(seconds: float) -> float:
    """Hand in tasks of every kind for so long; return bytes a second, by the later three quarters.

    The store keeps a record of each, on the disk.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="wr-growth-") as name:
        directory = Path(name)
        with Receiving(directory) as receiver:
            config = config_for(
                f"embedded:{name}/queue.db",
                receiver.url,
                port=port,
                store=f"sqlite:{name}/state.db",
            )
            with Served(directory, config) as daemon:
                daemon.start()
                daemon.ready()
                door = ApiDoor(port)
                batch = json.dumps([_KINDS[n % len(_KINDS)] for n in range(PER_SECOND)]).encode()
                for _ in range(WARM_TASKS // PER_SECOND):
                    _hand_in(door, batch)
                _until_quiet(receiver)
                door.close()  # it was idle for longer than the API keeps a connection
                samples = _samples(daemon, seconds, lambda: _hand_in(door, batch))
                door.close()
    later = samples[len(samples) // 4 :]
    print(f"{samples[0] / 1e6:.1f} MB at first, {samples[-1] / 1e6:.1f} MB at last", flush=True)
    slope, _ = linear_regression(range(len(later)), later)
    return float(slope) * len(samples) / seconds


def _until_quiet(receiver: Receiving) -> None:
    """Wait until nothing has arrived for longer than any of the tasks waits."""
    seen = -1
    while seen != receiver.count():
        seen = receiver.count()
        time.sleep(_QUIET_SECONDS)


def _hand_in(door: ApiDoor, batch: bytes) -> None:
    door.post(batch)


def _samples(daemon: Served, seconds: float, act: Callable[[], None]) -> list[int]:
    """Act once a second; return how many bytes were resident each time."""
    began = time.monotonic()
    found: list[int] = []
    while (now := time.monotonic()) < began + seconds:
        act()
        found.append(daemon.resident_bytes())
        time.sleep(max(0.0, now + 1 - time.monotonic()))
    return found


def main() -> int:
    backlog = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3600.0
    print(measure_idle(30.0))
    print("embedded", embedded_backlog(backlog))
    print("RabbitMQ", rabbitmq_backlog(backlog))
    print(f"growth {measure_growth(seconds) * 3600 / 1e6:.2f} MB an hour")
    return 0


if __name__ == "__main__":
    sys.exit(main())
