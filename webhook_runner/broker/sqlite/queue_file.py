"""The embedded broker's file: an SQLite database in WAL mode, one transaction for each batch."""

import sqlite3
from collections.abc import Callable, Iterable
from multiprocessing import current_process
from pathlib import Path
from typing import Self, TypeVar

from webhook_runner.broker.sqlite.batch import (
    AT_ONCE,
    Ack,
    Batch,
    Claim,
    Claimed,
    Entry,
    Letter,
    Publish,
    Return,
    Row,
    Settle,
    Written,
)
from webhook_runner.broker.sqlite.file_lock import FileLock
from webhook_runner.broker.sqlite.notice_table import forget, keep
from webhook_runner.broker.sqlite.queue_place import Place, real_path, settle_in
from webhook_runner.broker.sqlite.queue_schema import inspect, prepare
from webhook_runner.broker.sqlite.queue_trouble import explained, refusal
from webhook_runner.broker.sqlite.shelf_table import remove
from webhook_runner.settings import MEMORY

T = TypeVar("T")
_LAST_ID = """
SELECT max((SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(max(id), 0) FROM dead),
           (SELECT coalesce(max(id), 0) FROM invalid))"""
_FOUND = """
SELECT ready.id, due, deliveries, headers, body, properties FROM ready JOIN message USING (id)
WHERE queue = ? AND due BETWEEN ? AND ? ORDER BY due, ready.id LIMIT ?"""
_NEXT_DUE = "SELECT due FROM ready WHERE queue = ? AND due > ? ORDER BY due LIMIT 1"
_REPLACE = "DELETE FROM message WHERE id = ? AND id IN (SELECT id FROM unacked)"
_RETURN = """
INSERT INTO ready SELECT queue, 0, id, deliveries + ? FROM unacked WHERE id = ?"""
_PROBE_BYTES = 65_536
_KEPT_PAGES = 1024
_STEP_PAGES = 1024


class QueueFile:
    """One open file, which is ours alone. Calls come from one thread at a time.

    Attributes:
        owner: number of this opening, greater than any before.
        scheduled: messages with a due time that were not handed over yet.

    """

    def __init__(self, database: sqlite3.Connection, path: str, lock: FileLock | None) -> None:
        self.path = path
        self._database = database
        self._lock = lock
        self._place: Place | None = None
        self._is_durable = True
        self._turn = False
        self._last_id = 0
        self.owner = 0
        self.scheduled = 0

    @classmethod
    def open(cls, path: str) -> Self:
        """Open the file, or make it, and put back what its last owner had not settled.

        Raises:
            QueueFileError: another daemon has it (names its pid), it may not be written, it is
                damaged or of another kind, or the disk is full.

        """
        if path == MEMORY:
            return cls._opened(path, None)
        real = real_path(path)
        lock = FileLock.take(real)
        try:
            settle_in(real)
            inspect(real)
            return cls._opened(str(real), lock)
        except BaseException as error:
            lock.give_back()
            if isinstance(error, sqlite3.Error):
                raise refusal(real, explained(error)) from error
            if isinstance(error, OSError):
                raise refusal(real, f"{error.strerror}; see to its owner and mode") from error
            raise

    @classmethod
    def _opened(cls, path: str, lock: FileLock | None) -> Self:
        # The statements of a batch come from the writer's thread, the opening from another.
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            prepare(database, path)
            file = cls(database, path, lock)
            file.take_over()
        except BaseException:
            database.close()
            raise
        return file

    def take_over(self) -> None:
        """Sign as the next owner; what the last had not settled is ready again, and counted."""
        self._last_id = self._one(_LAST_ID)
        self.owner = self._one("SELECT coalesce(max(number), 0) + 1 FROM owner")
        with _Transaction(self._database):
            self._database.execute("DELETE FROM owner")
            row = (self.owner, current_process().pid)
            self._database.execute("INSERT INTO owner VALUES (?, ?)", row)
            unacked = self._database.execute("SELECT id FROM unacked").fetchall()
            self._settle([Return(number, counted=True) for (number,) in unacked])
        self._place = None if self.path == MEMORY else Place(Path(self.path))
        self.scheduled = self._one("SELECT count(*) FROM ready WHERE due > 0")

    @property
    def last_id(self) -> int:
        """Number of the latest message."""
        return self._last_id

    def write(self, batch: Batch) -> Written:
        """Carry out a batch, whole or not at all; what it promises is on disk when this returns.

        Acks and claims survive the death of this process, but maybe not a loss of power: then
        the message is handed over again. Raises sqlite3.Error.
        """
        promised = batch.is_promised
        self._demand(durable=promised)
        scheduled = self.scheduled
        with _Transaction(self._database):
            self._settle(batch.settles.values())
            scheduled += self._insert(batch.publishes.values())
            keep(self._database, batch.posts.values())
            removed = [remove(self._database, each) for each in batch.removals.values()]
            claimed = [self._claim(claim) for claim in batch.claims.values()]
        if promised:
            self._see_place()
        taken = sum(row.due > AT_ONCE for each in claimed for row in each.rows)
        self.scheduled = scheduled - taken - sum(each.timed for each in removed)
        return Written(claimed, [each.count for each in removed])

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer a question that takes no longer than a small batch. Raises sqlite3.Error."""
        return question(self._database)

    def probe(self) -> None:
        """See whether something can be written. Raises sqlite3.Error."""
        self._demand(durable=True)
        self._database.execute("INSERT INTO probe VALUES (zeroblob(?))", (_PROBE_BYTES,))
        self._database.execute("DELETE FROM probe")

    def tend(self, now: int) -> None:
        """See that the file is where it was; forget, and give back room, some at a time.

        ``now`` is epoch milliseconds. Raises sqlite3.Error and QueueFileError.
        """
        self._see_place()
        forget(self._database, now)
        free, pages = self._one("PRAGMA freelist_count"), self._one("PRAGMA page_count")
        if free > max(_KEPT_PAGES, pages // 2):
            self._demand(durable=False)
            self._database.executescript(f"PRAGMA incremental_vacuum({_STEP_PAGES})")

    def close(self) -> None:
        self._database.close()
        if self._lock is not None:
            self._lock.give_back()

    def _see_place(self) -> None:
        """Keep nobody believing in a file that nobody will find again. Raises QueueFileError."""
        if self._place is not None and (lost := self._place.lost()):
            raise refusal(self.path, f"{lost}; {self._rescue()}")

    def _rescue(self) -> str:
        """Write what is still open to a file of its own, and say how to go on with it."""
        if self._place is None or self._place.is_there():
            return "start again to go on with what it holds"
        saved = Path(f"{self.path}.saved-{self.owner}")
        try:
            saved.touch(mode=0o600)
            self._database.execute("VACUUM INTO ?", (str(saved),))
        except (sqlite3.Error, OSError) as error:
            return f"what it held could not be saved: {error}"
        return f"what it held is saved as {saved}; put that in its place and start again"

    def _demand(self, *, durable: bool) -> None:
        if durable != self._is_durable:
            self._database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._is_durable = durable

    def _settle(self, settles: Iterable[Settle]) -> None:
        gone, back = [], []
        for each in settles:
            match each:
                case Ack(number):
                    gone.append((number,))
                case Return(number, counted):
                    back.append((int(counted), number))
        run = self._database.executemany
        run(_RETURN, back)
        run("DELETE FROM unacked WHERE id = ?", [*gone, *((number,) for _, number in back)])
        run("DELETE FROM message WHERE id = ?", gone)

    def _insert(self, publishes: Iterable[Publish]) -> int:
        """Insert and return how many have to wait for their time."""
        messages, ready, replaced = [], [], []
        letters: dict[bool, list[tuple[object, ...]]] = {True: [], False: []}
        for each in publishes:
            self._last_id = last = self._last_id + 1
            match each:
                case Entry(queue, headers, body, properties, due, replaces):
                    messages.append((last, headers, body, properties))
                    ready.append((queue, due, last, 0))
                case Letter(Entry(queue, headers, body, properties, _, replaces), at, is_dead):
                    letters[is_dead].append((last, queue, at, headers, body, properties))
            if replaces:
                replaced.append((replaces,))
        run = self._database.executemany
        run("INSERT INTO message VALUES (?, ?, ?, ?)", messages)
        run("INSERT INTO ready VALUES (?, ?, ?, ?)", ready)
        run("INSERT INTO dead VALUES (?, ?, ?, ?, ?, ?)", letters[True])
        run("INSERT INTO invalid VALUES (?, ?, ?, ?, ?, ?)", letters[False])
        run(_REPLACE, replaced)
        run("DELETE FROM unacked WHERE id = ?", replaced)
        return sum(due > AT_ONCE for _, due, _, _ in ready)

    def _claim(self, claim: Claim) -> Claimed:
        rows = self._find(claim)
        run = self._database.executemany
        run(
            "DELETE FROM ready WHERE queue = ? AND due = ? AND id = ?",
            [(claim.queue, row.due, row.id) for row in rows],
        )
        run(
            "INSERT INTO unacked VALUES (?, ?, ?, ?)",
            [(row.id, claim.queue, row.deliveries, self.owner) for row in rows],
        )
        if len(rows) == claim.most:
            return Claimed(rows, claim.now)
        found = self._database.execute(_NEXT_DUE, (claim.queue, claim.now)).fetchone()
        return Claimed(rows, found and found[0])

    def _find(self, claim: Claim) -> list[Row]:
        """Find what is due, and what is ready at once, in turn first: neither starves the other."""
        self._turn = not self._turn
        spans = [(AT_ONCE + 1, claim.now), (AT_ONCE, AT_ONCE)]
        rows: list[Row] = []
        for first, last in spans if self._turn else reversed(spans):
            if len(rows) < claim.most:
                wanted = (claim.queue, first, last, claim.most - len(rows))
                rows += (Row(*found) for found in self._database.execute(_FOUND, wanted))
        return rows

    def _one(self, question: str) -> int:
        return int(self._database.execute(question).fetchone()[0])


class _Transaction:
    """Commits at the end, or rolls back what an error left open."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
