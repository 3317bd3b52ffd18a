"""What a process asked the disk to do, by strace, and what a loss of power could leave of it."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TRACE = ("strace", "-f", "-y", "-xx", "-s", "4000000", "--quiet=all")
CALLS = "--trace=pwrite64,write,ftruncate,fdatasync,fsync"
_LINE = re.compile(r"^(\d+) +(.*)$")
_CALL = re.compile(r'^(\w+)\((\d+)<([^>]*)>(?:, )?(?:"([^"]*)")?(?:\.\.\.)?(.*)\) += (-?\d+)')
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>")


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    path: str
    data: bytes
    numbers: tuple[int, ...]


@dataclass(slots=True)
class File:
    """A file as it is on the disk for sure, and what was written to it and not flushed."""

    sure: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)

    def flush(self) -> None:
        self.sure = self.after(self.pending)
        self.pending = []

    def after(self, calls: Sequence[Call]) -> bytearray:
        content = bytearray(self.sure)
        for call in calls:
            if call.name == "ftruncate":
                (size,) = call.numbers
                content = content[:size].ljust(size, b"\0")
            else:
                offset, end = call.numbers[-1], call.numbers[-1] + len(call.data)
                content = content.ljust(end, b"\0")
                content[offset:end] = call.data
        return content


def calls_of(trace: Path) -> Iterator[Call]:
    """Read a trace made with `TRACE` and `CALLS`, in the order in which the calls ended."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                continue
            pid, text = found.groups()
            if text.endswith("<unfinished ...>"):
                begun[pid] = text.removesuffix("<unfinished ...>").rstrip()
                continue
            if _RESUMED.match(text):
                text = begun.pop(pid, "") + _RESUMED.sub("", text)
            if (call := _call(text)) is not None:
                yield call


def _call(text: str) -> Call | None:
    found = _CALL.match(text)
    if found is None or int(found[6]) < 0:
        return None
    numbers = tuple(int(each) for each in re.findall(r"\d+", found[5]))
    return Call(found[1], _bytes(found[3]).decode(), _bytes(found[4] or ""), numbers)


def _bytes(text: str) -> bytes:
    if "\\x" not in text:
        return text.encode()
    return bytes.fromhex(text.replace("\\x", ""))


class Disk:
    """Follows the calls, and answers what a loss of power just then could leave behind."""

    def __init__(self) -> None:
        self.files: dict[str, File] = defaultdict(File)
        self.flushed: set[str] = set()

    def take(self, call: Call) -> None:
        file = self.files[call.path]
        if call.name in {"fsync", "fdatasync"}:
            file.flush()
            self.flushed.add(call.path)
        elif call.name in {"pwrite64", "ftruncate"}:
            file.pending.append(call)

    def lose_power(self, path: str, dice: random.Random) -> bytes:
        """Return what is on the disk: all that was flushed, and any part of the rest."""
        file, keep = self.files[path], dice.choice((0.0, 0.5, 1.0))
        return bytes(file.after([call for call in file.pending if dice.random() < keep]))
