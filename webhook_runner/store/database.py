"""What a database must do for the store. All calls block; writes come from one thread."""

from typing import Protocol

from webhook_runner.store.work import Work, Written
from webhook_runner.task.record import Attempt, QueueCount, TaskPage, TaskQuery, TaskRecord

UNUSABLE = 74
"""Exit code of a store that cannot be used: EX_IOERR of sysexits.h."""

TAKEN = 4
"""Exit code when another process has it."""


class TroubleError(Exception):
    """Time may mend it: the database is down, full, locked. Says what is wrong."""


class Database(Protocol):
    """Writes and sweeps come from one thread, questions from others.

    Every call raises TroubleError, or StoreError when it is beyond hope.

    Attributes:
        threaded: its calls take long enough to keep them out of the event loop.
        longest_wait: seconds between two tries to write, at most.

    """

    kind: str
    threaded: bool
    longest_wait: float

    def open(self) -> None:
        """Make ready for writing, the tables of this version included; again after trouble."""

    def write(self, work: Work) -> Written:
        """Write a batch; what is refused for its content is left out, alone."""

    def probe(self) -> None:
        """See whether something can be written."""

    def sweep(self, ended_before: float, now: float, most: int) -> int:
        """Delete at most so many finished runs, and claims that are over; how many runs it was."""

    def find(self, task_id: str, run: int | None) -> TaskRecord | None: ...

    def latest(self, task_id: str, fingerprint: bytes) -> TaskRecord | None: ...

    def attempts(self, task_id: str, run: int) -> list[Attempt]: ...

    def tasks(self, query: TaskQuery) -> TaskPage: ...

    def counts(self) -> list[QueueCount]: ...

    def finished(self, before: float, after: TaskRecord | None, most: int) -> list[TaskRecord]:
        """Return runs that ended before a time, in the order of their end, after another."""

    def hang_up(self) -> None:
        """End what is under way, from any thread, when it takes too long."""

    def close(self) -> None: ...
