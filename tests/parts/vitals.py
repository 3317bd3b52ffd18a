"""What a process has in its hands - descriptors, threads, asyncio tasks, memory - seen outside."""

import re
from dataclasses import dataclass
from pathlib import Path

SLACK = 3
"""So many descriptors, threads and tasks more than before are no leak."""

_TASKS = re.compile(r"^webhook_runner_event_loop_tasks (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Vitals:
    """Numbers at one moment; ``resident`` is in bytes, ``tasks`` of asyncio."""

    descriptors: int
    threads: int
    tasks: int
    resident: int

    def is_back_at(self, before: "Vitals", slack: int = SLACK) -> bool:
        """Tell whether nothing but memory exceeds what was held before by more than the slack."""
        pairs = (
            (self.descriptors, before.descriptors),
            (self.threads, before.threads),
            (self.tasks, before.tasks),
        )
        return all(now <= once + slack for now, once in pairs)


def vitals(pid: int, metrics: str) -> Vitals:
    """Return those of a process and its page of metrics; see proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    tasks = _TASKS.search(metrics)
    if tasks is None:
        raise ValueError("the page of metrics does not tell how many tasks there are")
    return Vitals(
        descriptors,
        _field(status, "Threads"),
        int(float(tasks[1])),
        _field(status, "VmRSS") * 1024,
    )


def _field(status: str, name: str) -> int:
    return int(status.partition(f"{name}:")[2].split()[0])
