"""The embedded broker's file: an SQLite database in WAL mode, one transaction for each batch."""

import sqlite3
from collections.abc import Iterable
from multiprocessing import current_process
from pathlib import Path
from typing import Self

from webhook_runner.broker.batch import (
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
)
from webhook_runner.broker.file_lock import FileLock
from webhook_runner.errors import QueueFileError

MEMORY = ":memory:"
UNUSABLE = 74
"""Exit code of a file that cannot be used: EX_IOERR of sysexits.h."""

_APPLICATION = 0x7772_7131  # "wrq1"
_VERSION = 1
# A message's bytes are written once; its place, which changes, is a small row of its own.
_SCHEMA = """
CREATE TABLE message (
  id INTEGER PRIMARY KEY, headers TEXT NOT NULL, body BLOB NOT NULL, properties TEXT NOT NULL);
CREATE TABLE ready (
  queue TEXT NOT NULL, due INTEGER NOT NULL, id INTEGER NOT NULL, deliveries INTEGER NOT NULL,
  PRIMARY KEY (queue, due, id)) WITHOUT ROWID;
CREATE TABLE unacked (
  id INTEGER PRIMARY KEY, queue TEXT NOT NULL, deliveries INTEGER NOT NULL, owner INTEGER NOT NULL);
CREATE TABLE dead (
  id INTEGER PRIMARY KEY, queue TEXT NOT NULL, at INTEGER NOT NULL,
  headers TEXT NOT NULL, body BLOB NOT NULL, properties TEXT NOT NULL);
CREATE TABLE invalid (
  id INTEGER PRIMARY KEY, queue TEXT NOT NULL, at INTEGER NOT NULL,
  headers TEXT NOT NULL, body BLOB NOT NULL, properties TEXT NOT NULL);
CREATE TABLE owner (number INTEGER PRIMARY KEY, pid INTEGER NOT NULL);
CREATE TABLE probe (bytes BLOB);
"""
_LAST_ID = """
SELECT max((SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(max(id), 0) FROM dead),
           (SELECT coalesce(max(id), 0) FROM invalid))"""
_FOUND = """
SELECT ready.id, due, deliveries, headers, body, properties FROM ready JOIN message USING (id)
WHERE queue = ? AND due BETWEEN ? AND ? ORDER BY due, ready.id LIMIT ?"""
_NEXT_DUE = "SELECT due FROM ready WHERE queue = ? AND due > ? ORDER BY due LIMIT 1"
_RETURN = """
INSERT INTO ready SELECT queue, 0, id, deliveries + ? FROM unacked WHERE id = ?"""
_PROBE_BYTES = 65_536


class QueueFile:
    """One open file, which is ours alone. Calls come from one thread at a time.

    Attributes:
        owner: number of this opening, greater than any before.
        scheduled: messages with a due time that were not handed over yet.

    """

    def __init__(self, database: sqlite3.Connection, lock: FileLock | None) -> None:
        self._database = database
        self._lock = lock
        self._is_durable = True
        self._turn = False
        self._last_id: int = self._one(_LAST_ID)
        self.owner: int = self._one("SELECT coalesce(max(number), 0) + 1 FROM owner")
        self.scheduled: int = self._one("SELECT count(*) FROM ready WHERE due > 0")

    @classmethod
    def open(cls, path: str) -> Self:
        """Open the file, or make it, and put back what its last owner had not settled.

        Raises:
            QueueFileError: another daemon has it (names its pid), it may not be written, it is
                damaged or of another kind, or the disk is full.

        """
        lock = None if path == MEMORY else FileLock.take(Path(f"{path}.lock"))
        try:
            # The statements of a batch come from the writer's thread, the opening from another.
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                _prepare(database, path)
                file = cls(database, lock)
                file.take_over()
            except BaseException:
                database.close()
                raise
        except sqlite3.Error as error:
            if lock is not None:
                lock.give_back()
            raise QueueFileError(f"queue file {path}: {explained(error)}", UNUSABLE) from error
        except BaseException:
            if lock is not None:
                lock.give_back()
            raise
        return file

    def take_over(self) -> None:
        """Sign as the owner; what the last one had not settled is ready again, and counted."""
        with _Transaction(self._database):
            self._database.execute("DELETE FROM owner")
            row = (self.owner, current_process().pid)
            self._database.execute("INSERT INTO owner VALUES (?, ?)", row)
            unacked = self._database.execute("SELECT id FROM unacked").fetchall()
            self._settle([Return(number, counted=True) for (number,) in unacked])

    def write(self, batch: Batch) -> list[Claimed]:
        """Carry out a batch, whole or not at all; a publish is on disk when this returns.

        Acks and claims survive the death of this process, but maybe not a loss of power: then
        the message is handed over again. Raises sqlite3.Error.
        """
        self._demand(durable=bool(batch.publishes))
        scheduled = self.scheduled
        with _Transaction(self._database):
            self._settle(batch.settles.values())
            scheduled += self._insert(batch.publishes.values())
            claimed = [self._claim(claim) for claim in batch.claims.values()]
        taken = sum(row.due > AT_ONCE for each in claimed for row in each.rows)
        self.scheduled = scheduled - taken
        return claimed

    def probe(self) -> None:
        """See whether something can be written. Raises sqlite3.Error."""
        self._demand(durable=True)
        self._database.execute("INSERT INTO probe VALUES (zeroblob(?))", (_PROBE_BYTES,))
        self._database.execute("DELETE FROM probe")

    def close(self) -> None:
        self._database.close()
        if self._lock is not None:
            self._lock.give_back()

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
        messages, ready = [], []
        letters: dict[bool, list[tuple[object, ...]]] = {True: [], False: []}
        for each in publishes:
            self._last_id = last = self._last_id + 1
            match each:
                case Entry(queue, headers, body, properties, due):
                    messages.append((last, headers, body, properties))
                    ready.append((queue, due, last, 0))
                case Letter(Entry(queue, headers, body, properties), at, is_dead):
                    letters[is_dead].append((last, queue, at, headers, body, properties))
        run = self._database.executemany
        run("INSERT INTO message VALUES (?, ?, ?, ?)", messages)
        run("INSERT INTO ready VALUES (?, ?, ?, ?)", ready)
        run("INSERT INTO dead VALUES (?, ?, ?, ?, ?, ?)", letters[True])
        run("INSERT INTO invalid VALUES (?, ?, ?, ?, ?, ?)", letters[False])
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


def is_passing(error: sqlite3.Error) -> bool:
    """Whether time may mend it: a full disk, a mount that is read-only, a failing device."""
    return _primary(error) in _PASSING


def explained(error: sqlite3.Error) -> str:
    """Say what is wrong with the file, and what would be right."""
    return _EXPLAINED.get(_primary(error), f"SQLite says: {error}")


def _primary(error: sqlite3.Error) -> int:
    # The low byte of an extended result code: https://www.sqlite.org/rescode.html
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOMEM,
}
_DAMAGED = (
    "it is damaged; keep a copy of it with its -wal file, and save what can be read with "
    "`sqlite3 FILE .recover | sqlite3 NEW_FILE`"
)
_EXPLAINED = {
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_IOERR: "the disk does not read or write",
    sqlite3.SQLITE_READONLY: "it may not be written; see to its owner, its mode and its mount",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; see whether its directory is there and yours",
    sqlite3.SQLITE_BUSY: "another program holds a lock on it",
    sqlite3.SQLITE_NOTADB: f"it is no SQLite database, or {_DAMAGED}",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
}


def _prepare(database: sqlite3.Connection, path: str) -> None:
    """Make the tables, or see that they are ours. Raises sqlite3.Error and QueueFileError."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA journal_size_limit = 67108864")
    if not tables:
        database.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION};"
            f" PRAGMA user_version = {_VERSION}; COMMIT;"
        )
    elif application != _APPLICATION:
        raise QueueFileError(
            f"queue file {path}: it is a database of another program; name another file", UNUSABLE
        )
    elif version > _VERSION:
        raise QueueFileError(
            f"queue file {path}: a newer version of webhook-runner has written it", UNUSABLE
        )
