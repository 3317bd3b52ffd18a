"""What is told of the processes that work for a daemon which has more than one."""

from msgspec import Struct


class WorkerStarted(Struct, frozen=True):
    """A process that consumes and calls for this daemon."""

    worker: int
    pid: int


class WorkerEnded(Struct, frozen=True):
    """It ended unasked; ``how`` is its exit code or signal, ``retry_in`` seconds to the next."""

    worker: int
    pid: int
    how: str
    retry_in: float


WorkerEvent = WorkerStarted | WorkerEnded
