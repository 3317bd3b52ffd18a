"""What a process and all that it started take: processor and memory, of proc(5)."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PARENT, _SESSION = 1, 3
_OWN_CPU, _CPU_OF_THE_DEAD = slice(11, 13), slice(13, 15)


@dataclass(frozen=True, slots=True)
class Tree:
    """A process that leads a session, its session and its descendants."""

    leader: int

    def cpu_seconds(self) -> float:
        """CPU time so far, user and system, of those that live and of those they waited for."""
        ticks = 0
        for fields in self._members().values():
            ticks += sum(map(int, fields[_OWN_CPU])) + sum(map(int, fields[_CPU_OF_THE_DEAD]))
        return ticks / _TICKS

    def resident_bytes(self) -> int:
        """Resident memory now, what is shared counted for each."""
        return sum(self.residents().values())

    def residents(self) -> dict[int, int]:
        """Return the bytes that are resident now of each member, by process id."""
        found = {}
        for pid in self._members():
            with suppress(OSError):
                found[pid] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        return found

    def proportional_bytes(self) -> int:
        """Resident memory now, what is shared divided among those who share it."""
        found = 0
        for pid in self._members():
            with suppress(OSError, IndexError):
                rolled = Path(f"/proc/{pid}/smaps_rollup").read_text()
                found += int(rolled.partition("\nPss:")[2].split()[0]) * 1024
        return found

    def processes(self) -> frozenset[int]:
        """Return the process ids of all members."""
        return frozenset(self._members())

    def _members(self) -> dict[int, list[str]]:
        """Return the fields after the name of all members, by process id."""
        everybody = dict(_everybody())
        members = {pid for pid, fields in everybody.items() if int(fields[_SESSION]) == self.leader}
        members |= {self.leader} & everybody.keys()
        grown = 0
        while grown != len(members):
            grown = len(members)
            members |= {p for p, fields in everybody.items() if int(fields[_PARENT]) in members}
        return {pid: everybody[pid] for pid in members}


def _everybody() -> Iterator[tuple[int, list[str]]]:
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                yield int(place.name), (place / "stat").read_text().rpartition(")")[2].split()
