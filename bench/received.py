"""The receiver's process seen from outside: where it listens, and what it has written down."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from bench.script import number_of
from tests.parts.guardian import Guardian

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Request:
    """One request that has ended; times are epoch seconds.

    Attributes:
        arrived: when its last byte had been read.
        ended: just before its answer was written, or when its connection was lost.
        status: of the answer, or 0 when there was none.
        id: the Idempotency-Key.
        doubted: whether it said that it may be a duplicate.
        sender: which daemon sent it.

    """

    arrived: float
    ended: float
    status: int
    path: str
    id: str
    attempt: int
    doubted: bool
    eta: str
    queue: str = ""
    sender: str = ""

    @property
    def number(self) -> int:
        """The number of the task that it belongs to."""
        return number_of(self.path)

    @property
    def succeeded(self) -> bool:
        return self.status == 200


def read_line(line: str) -> Request:
    """Read one line of the receiver's log."""
    arrived, ended, status, path, name, attempt, doubted, eta, queue, sender = line.rstrip(
        "\n"
    ).split("\t")
    return Request(
        float(arrived),
        float(ended),
        int(status),
        path,
        name,
        int(attempt),
        doubted == "1",
        eta,
        sys.intern(queue),
        sys.intern(sender),
    )


class Receiving:
    """A receiver, started; ``cpus`` pins it."""

    def __init__(self, directory: Path, *, cpus: Iterable[int] = ()) -> None:
        self.log = directory / "requests.log"
        self.requests: list[Request] = []
        self._rest = ""
        self._position = 0
        self._counted = self._counted_to = 0
        self._guardian = Guardian(directory / "no-directory")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.receiver", str(self.log)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._guardian.guard(self._process.pid)
        if chosen := set(cpus):
            os.sched_setaffinity(self._process.pid, chosen)
        ports: dict[str, int] = json.loads(self._output.readline())
        self.hosts = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.url = self.hosts[""]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _output(self) -> IO[str]:
        if self._process.stdout is None:
            raise RuntimeError("the receiver has no output")
        return self._process.stdout

    def prefer(self) -> None:
        """Let it go before all others, where we may: what has arrived is written down at once."""
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, -15)

    def look(self) -> list[Request]:
        """Return what has been written down since the last look; all of it is in `requests`."""
        with self.log.open() as file:
            file.seek(self._position)
            text = self._rest + file.read()
            self._position = file.tell()
        *lines, self._rest = text.split("\n")
        fresh = [read_line(line) for line in lines]
        self.requests += fresh
        return fresh

    def count(self) -> int:
        """Return how many requests are written down, without reading them."""
        with self.log.open("rb") as file:
            file.seek(self._counted_to)
            self._counted += file.read().count(b"\n")
            self._counted_to = file.tell()
        return self._counted

    def close(self) -> None:
        """End it, with its log complete and looked at."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)
            self.look()
        self._guardian.close()
        self._output.close()
