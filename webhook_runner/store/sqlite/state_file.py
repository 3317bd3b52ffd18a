"""The store in a file: an SQLite database in WAL mode that one process writes."""

import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webhook_runner.owner_lock import OwnerLock
from webhook_runner.settings import MEMORY
from webhook_runner.store.cursor import cursor_after
from webhook_runner.store.database import TroubleError
from webhook_runner.store.sql import (
    ATTEMPTS,
    COUNTS,
    OVER,
    count_of,
    find,
    finished,
    listed,
    record_of,
    selected,
)
from webhook_runner.store.sqlite.place import identity, reader, settle_in, writer
from webhook_runner.store.sqlite.trouble import REFUSED, refusal, trouble
from webhook_runner.store.sqlite.writing import answer, attempt_of, put, singly
from webhook_runner.store.work import Work, Written
from webhook_runner.task.record import Attempt, QueueCount, TaskPage, TaskQuery, TaskRecord

_KEPT_PAGES = 1024
_STEP_PAGES = 1024
_LARGE = """
coalesce(source, (SELECT source FROM wr_large l WHERE l.id = t.id AND l.run = t.run)) AS source"""
_FIND_RUN, _FIND_LATEST, _FIND_CONTENT = find(selected(source=_LARGE))
_FINISHED = finished(selected(source=_LARGE))
# The runs themselves go last: they tell which those are.
_SWEEP = [
    f"DELETE FROM {table} WHERE (id, run) IN ({OVER})"
    for table in ("wr_large", "wr_attempt", "wr_rollback", "wr_task")
]
_CLAIMS_OVER = """
DELETE FROM wr_claim WHERE key IN (SELECT key FROM wr_claim WHERE until <= ? LIMIT ?)"""


class StateFile:
    """See `webhook_runner.store.database.Database`.

    What was written survives the death of this process, but the last moments maybe not a loss of
    power: the broker decides what runs, and will hand over again what it has.
    """

    kind = "sqlite"
    longest_wait = 1.0

    def __init__(self, path: str) -> None:
        self.threaded = path != MEMORY
        self._path = path
        self._real: Path | None = None
        self._lock: OwnerLock | None = None
        self._database: sqlite3.Connection | None = None
        self._readers: deque[sqlite3.Connection] = deque()
        self._busy: set[sqlite3.Connection] = set()
        self._files: dict[Path, tuple[int, int] | None] = {}

    def open(self) -> None:
        if not self.threaded:
            self._database = writer(self._path)
            return
        real, lock = settle_in(self._path)
        try:
            self._database = writer(str(real))
        except sqlite3.Error as error:
            lock.give_back()
            raise trouble(real, error, starting=True) from error
        except BaseException:
            lock.give_back()
            raise
        self._real, self._lock = real, lock

    def write(self, work: Work) -> Written:
        with self._translating():
            try:
                with self._transaction() as database:
                    put(database, work)
                    return Written([answer(database, ask) for ask in work.asks])
            except REFUSED:
                with self._transaction() as database:
                    return singly(database, work)

    def probe(self) -> None:
        with self._translating(), self._transaction() as database:
            database.execute("INSERT INTO wr_rollback VALUES ('', 0, ?)", ("\0" * 8192,))
            database.execute("DELETE FROM wr_rollback WHERE id = ''")

    def sweep(self, ended_before: float, now: float, most: int) -> int:
        with self._translating(), self._transaction() as database:
            for statement in _SWEEP:
                count = database.execute(statement, (ended_before, most)).rowcount
            database.execute(_CLAIMS_OVER, (now, most))
        self._shrink()
        return count

    def find(self, task_id: str, run: int | None) -> TaskRecord | None:
        with self._reading() as database:
            if run is None:
                row = database.execute(_FIND_LATEST, (task_id,)).fetchone()
            else:
                row = database.execute(_FIND_RUN, (task_id, run)).fetchone()
        return record_of(row) if row else None

    def latest(self, task_id: str, fingerprint: bytes) -> TaskRecord | None:
        with self._reading() as database:
            row = database.execute(_FIND_CONTENT, (task_id, fingerprint)).fetchone()
        return record_of(row) if row else None

    def attempts(self, task_id: str, run: int) -> list[Attempt]:
        with self._reading() as database:
            return [attempt_of(row) for row in database.execute(ATTEMPTS, (task_id, run))]

    def tasks(self, query: TaskQuery) -> TaskPage:
        statement, parameters = listed(query)
        with self._reading() as database:
            found = [record_of(row) for row in database.execute(statement, parameters)]
        page = tuple(found[: query.limit])
        return TaskPage(page, cursor_after(page[-1]) if len(found) > len(page) else "")

    def counts(self) -> list[QueueCount]:
        with self._reading() as database:
            return [count_of(row) for row in database.execute(COUNTS)]

    def finished(self, before: float, after: TaskRecord | None, most: int) -> list[TaskRecord]:
        at, name, run = (after.ended_at or 0, after.id, after.run) if after else (0, "", 0)
        with self._reading() as database:
            rows = database.execute(_FINISHED, (before, at, at, name, name, run, most))
            return [record_of(row) for row in rows]

    def hang_up(self) -> None:
        for database in tuple(self._busy):
            database.interrupt()

    def close(self) -> None:
        for database in self._readers:
            database.close()
        self._readers.clear()
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._lock is not None:
            self._lock.give_back()
            self._lock = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._database
        if database is None:
            raise TroubleError(f"store sqlite:{self._path}: it is not open")
        with self._interruptible(database):
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")
        self._see_files()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._translating():
            if not self.threaded and self._database is not None:
                yield self._database
                return
            try:
                database = self._readers.pop()
            except IndexError:
                database = reader(self._real or Path(self._path).resolve())
            try:
                with self._interruptible(database):
                    yield database
            except BaseException:
                database.close()
                raise
            self._readers.append(database)

    @contextmanager
    def _interruptible(self, database: sqlite3.Connection) -> Iterator[None]:
        self._busy.add(database)
        try:
            yield
        finally:
            self._busy.discard(database)

    def _shrink(self) -> None:
        """Give back some of the room that the file needs no more."""
        database = self._database
        if database is None:
            return
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        if free > max(_KEPT_PAGES, pages // 2):
            database.executescript(f"PRAGMA incremental_vacuum({_STEP_PAGES})")

    def _see_files(self) -> None:
        """Keep nobody believing in a file that nobody will find again. Raises StoreError."""
        if self._real is not None and not self._files:
            files = [self._real, self._real.with_name(f"{self._real.name}-wal")]
            self._files = {file: identity(file) for file in files}
        for file, known in self._files.items():
            if identity(file) != known:
                why = f"{file.name} was removed or replaced while it was in use; start again"
                raise refusal(self._real, why)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise trouble(self._real or self._path, error) from error
