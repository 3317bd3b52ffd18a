"""What was handed in and what was accepted, on the disk before anybody relies on it."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(slots=True)
class Entry:
    """What became of the publishing of one task.

    Attributes:
        number: of the task.
        sent_at: epoch seconds just before it was published.
        accepted: answered 202 or 200, or confirmed. If not, it is unknown whether it is there.
        id: the id that it was accepted under, or "" when its publisher was told none.

    """

    number: int
    sent_at: float
    accepted: bool = False
    id: str = ""


class Ledger:
    """A file with a line for each task that was handed in; several threads may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w")
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, entries: Sequence[Entry]) -> None:
        """Write down, and return once the disk has it."""
        lines = "".join(
            f"{each.number}\t{each.sent_at:.6f}\t{int(each.accepted)}\t{each.id}\n"
            for each in entries
        )
        with self._lock:
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())

    def read(self) -> list[Entry]:
        """Return everything that was written."""
        with self.path.open() as file:
            return [_read_line(line) for line in file]


def _read_line(line: str) -> Entry:
    number, sent_at, accepted, name = line.rstrip("\n").split("\t")
    return Entry(int(number), float(sent_at), accepted == "1", name)
