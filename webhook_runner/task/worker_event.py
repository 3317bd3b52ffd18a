"""What is told of the processes that work for a daemon which has more than one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A process that consumes and calls for this daemon."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """It ended unasked; ``how`` is its exit code or signal, ``retry_in`` seconds to the next."""

    worker: int
    pid: int
    how: str
    retry_in: float


WorkerEvent = WorkerStarted | WorkerEnded
