"""How soon is a daemon there, and there again? Its start, the end and the return of its broker.

``python -m bench.recovery [RUNS]``: seconds, the greatest of all runs.
"""

import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.ground import config_for
from bench.received import Receiving
from bench.served import Served
from tests.parts import publisher
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.ports import free_port

LONGEST = 60.0
RECONNECT_MAX = 2
"""Seconds between tries; by default it grows to 30 while the broker is away for long."""
_LOOK_AGAIN_SECONDS = 0.01
_SETTLED_SECONDS = 1.5  # RabbitMQ 3.10 forgets a queue that is younger when it is killed


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds: from start to ready, on each broker; from the broker's end until /readyz says so.

    And from when the broker can be connected to again: until /readyz says ready, until a task that
    was published before is delivered.
    """

    embedded: float
    rabbitmq: float
    unready: float
    ready_again: float
    delivered_again: float


def measure(runs: int) -> Recovery:
    """Measure so often; return the greatest of each.

    Raises:
        LookupError: there is no RabbitMQ that may be killed.

    """
    if Installation.find() is None:
        raise LookupError("no RabbitMQ is installed here")
    with tempfile.TemporaryDirectory(prefix="wr-recovery-") as name:
        directory = Path(name)
        server = f"embedded:{directory}/queue.db"
        embedded = max(start(directory, server) for _ in range(runs))
        with RabbitNode.start() as node:
            found = [_broker_dies(directory, node) for _ in range(runs)]
    return Recovery(embedded, *(max(column) for column in zip(*found, strict=True)))


def start(directory: Path, server: str) -> float:
    """Start a daemon on a broker, and end it; return the seconds until it was ready."""
    config = config_for(server, "http://127.0.0.1:1")
    with Served(directory, config) as daemon:
        began = daemon.start()
        ready = daemon.ready() - began
        daemon.terminate()
    print(f"{server}: ready after {ready:.2f} s")
    return ready


def _broker_dies(directory: Path, node: RabbitNode) -> tuple[float, float, float, float]:
    port = free_port()
    with Receiving(directory) as receiver:
        config = config_for(node.url, receiver.url, port=port)
        config += f"[broker]\nreconnect_max_seconds = {RECONNECT_MAX}\n"
        with Served(directory, config) as daemon:
            began = daemon.start()
            started = daemon.ready() - began
            time.sleep(_SETTLED_SECONDS)
            publisher.publish(node.url, "default", {"url": "/ok/1", "countdown": 3})
            began = time.monotonic()
            node.kill()
            unready = _until(lambda: not _ready(port)) - began
            node.restart()
            began = time.monotonic()
            ready = _until(lambda: _ready(port)) - began
            delivered = _until(lambda: receiver.count() > 0) - began
            daemon.terminate()
    print(
        f"RabbitMQ: ready after {started:.2f} s; not ready {unready:.2f} s after its end; ", end=""
    )
    print(f"after its return ready {ready:.2f} s, a task {delivered:.2f} s", flush=True)
    return started, unready, ready, delivered


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except urllib.error.HTTPError:
        return False


def _until(holds: Callable[[], bool]) -> float:
    ended = time.monotonic() + LONGEST
    while not holds():
        if time.monotonic() > ended:
            raise TimeoutError(f"not within {LONGEST:g} s")
        time.sleep(_LOOK_AGAIN_SECONDS)
    return time.monotonic()


def main() -> int:
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
