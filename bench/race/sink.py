"""The receiver of the races seen from outside: what came, and when, read from shared memory."""

import mmap
import os
import struct
import subprocess
from pathlib import Path
from typing import Self

from bench.race import built
from bench.race.tree import Tree
from tests.parts.guardian import Guardian

CAPACITY = 4_000_000
_HEAD, _RECORD = 64, 24


class Sink:
    """The receiver, started: on so many addresses of loopback, with a delay for `/slow/`."""

    def __init__(
        self,
        directory: Path,
        *,
        hosts: int = 1,
        delay_ms: float = 0,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        file = directory / f"sink-{os.urandom(4).hex()}"
        arguments = [str(file), str(CAPACITY), str(hosts), str(delay_ms), *map(str, tls or ())]
        self._guardian = Guardian(directory / "no-directory")
        self._process = subprocess.Popen(
            [str(built.receiver()), *arguments],
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._guardian.guard(self._process.pid)
        said = self._process.stdout.readline() if self._process.stdout else ""
        if not said:
            self.close()
            raise RuntimeError("the receiver did not start")
        self._scheme, self.port = "https" if tls else "http", int(said)
        with file.open("r+b") as shared:
            self._memory = mmap.mmap(shared.fileno(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, host: int = 1) -> str:
        """Return where it is, by one of its addresses."""
        return f"{self._scheme}://127.0.0.{host}:{self.port}"

    def count(self) -> int:
        """Return how many requests have come since `forget`."""
        return int(struct.unpack_from("Q", self._memory)[0])

    def forget(self) -> None:
        """Begin anew; nothing may be under way."""
        struct.pack_into("Q", self._memory, 0, 0)

    def cpu_seconds(self) -> float:
        """CPU time so far."""
        return Tree(self._process.pid).cpu_seconds()

    def times(self) -> list[float]:
        """Return when each request came (epoch seconds), in their order."""
        return self._column("d", 0, 3)

    def dues(self) -> list[float]:
        """Return when each request said that it was due (epoch seconds), or 0, in their order."""
        return self._column("d", 1, 3)

    def numbers(self) -> list[int]:
        """Return the number of each request, in their order."""
        return [int(each) for each in self._column("i", 4, 6)]

    def statuses(self) -> list[int]:
        """Return what each request was answered, in their order."""
        return [int(each) for each in self._column("i", 5, 6)]

    def close(self) -> None:
        self._guardian.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _column(self, kind: str, first: int, step: int) -> list[float]:
        count = self.count()
        with memoryview(self._memory) as whole:
            records = whole[_HEAD : _HEAD + count * _RECORD]
            with records, records.cast(kind) as values, values[first::step] as column:  # type: ignore[call-overload]
                found: list[float] = column.tolist()
        return found
