"""A hundred hostile answers at once: what they cost in memory, when they end, whom they hold up.

``python -m bench.hostility [AT_ONCE]``.
"""

import gzip
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.doors import ApiDoor
from bench.ground import config_for
from bench.received import Receiving
from bench.served import Served
from tests.parts.hostile import Drip, Endless, HostileServer, Read, Send, Step
from tests.parts.ports import free_port

DEADLINE = 3.0
GOOD_SECONDS = 3
GOOD_PER_SECOND = 100
_HEAD = b"HTTP/1.1 200 OK\r\n%s\r\n\r\n"
_BOMB = gzip.compress(bytes(10_000_000))
EVIL: Mapping[str, Sequence[Step]] = {
    "bomb": [
        Read(),
        Send(_HEAD % b"Content-Encoding: gzip\r\nContent-Length: %d" % len(_BOMB) + _BOMB),
    ],
    "endless": [
        Read(),
        Send(_HEAD % b"Content-Length: 1000000000000"),
        Endless(b"x" * 65_536, 0.01),
    ],
    "drip": [Read(), Drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000, 0.1)],
}


@dataclass(frozen=True, slots=True)
class Hostility:
    """What a number of hostile answers at once has cost.

    Attributes:
        growth: bytes of resident memory for each answer, at most.
        overtime: seconds by which the last of them went over its deadline.
        share: how many of the good tasks were done in their time, of those without any evil.

    """

    growth: float
    overtime: float
    share: float


def measure(at_once: int) -> dict[str, Hostility]:
    """Measure each kind of evil alone."""
    return {name: _measure_one(name, steps, at_once) for name, steps in EVIL.items()}


def _measure_one(name: str, steps: Sequence[Step], at_once: int) -> Hostility:
    port = free_port()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wr-hostility-")))
        receiver = stack.enter_context(Receiving(place))
        server = stack.enter_context(HostileServer(steps))
        config = config_for(f"embedded:{place}/queue.db", receiver.url, port=port)
        config += f"[queues.evil]\nconcurrency = {at_once}\n"
        config = config.replace('format = "json"', 'format = "json"\nlevel = "debug"')
        daemon = stack.enter_context(Served(place, config))
        daemon.start()
        daemon.ready()
        door = ApiDoor(port)
        alone = _good(door, receiver)
        before = daemon.resident_bytes()
        task = {"url": f"{server.url}/", "queue": "evil", "max_retries": 0, "timeout": DEADLINE}
        door.post(json.dumps([task] * at_once).encode())
        with Peak(daemon) as peak:
            beside = _good(door, receiver)
            took = _durations(daemon.log, at_once)
        door.close()
    found = Hostility((peak.most - before) / at_once, max(took) - DEADLINE, beside / alone)
    print(f"{name}: {found}", flush=True)
    return found


def _good(door: ApiDoor, receiver: Receiving) -> int:
    """Hand in good tasks at a steady pace; return how many were done a second after the last."""
    before, began = receiver.count(), time.monotonic()
    batch = json.dumps([{"url": "/ok/1"}] * (GOOD_PER_SECOND // 10)).encode()
    for tenth in range(GOOD_SECONDS * 10):
        door.post(batch)
        time.sleep(max(0.0, began + (tenth + 1) / 10 - time.monotonic()))
    time.sleep(1.0)
    return receiver.count() - before


class Peak:
    """The most that a daemon has had resident while this was entered."""

    def __init__(self, daemon: Served) -> None:
        self.most = 0
        self._daemon = daemon
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.most = max(self.most, self._daemon.resident_bytes())


def _durations(log: Path, count: int) -> list[float]:
    """Wait until so many attempts of the evil queue have ended; return their seconds."""
    ended = time.monotonic() + 4 * DEADLINE + 20
    while len(found := list(_finished(log))) < count:
        if time.monotonic() > ended:
            raise TimeoutError(f"{len(found)} of {count} attempts have ended")
        time.sleep(0.2)
    return found


def _finished(log: Path) -> Iterator[float]:
    for line in log.read_text(errors="replace").splitlines():
        if '"task.attempt.finished"' in line and '"evil"' in line:
            yield float(json.loads(line)["duration_ms"]) / 1000


def main() -> int:
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
