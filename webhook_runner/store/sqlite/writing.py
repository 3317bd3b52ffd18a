"""The statements that write: a batch in few steps, or each entry by itself when one is refused."""

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import astuple, replace

from webhook_runner.store.sql import COLUMNS, ON_CONFLICT, ROLLBACK_CONFLICT
from webhook_runner.store.sqlite.trouble import REFUSED
from webhook_runner.store.work import Answer, KeepClaim, Work, Written, cleaned
from webhook_runner.task.record import Attempt, Claim, Holder, RollbackEnded, TaskRecord

LARGE_BYTES = 2048
"""A source above this has a row of its own: SQLite writes a row anew for each change of it."""

# The thread gives the interpreter away at every step of a statement and may wait long to get it
# back: rows are written many at a time. Few sizes, so that the statements stay prepared.
_SIZES = (64, 8, 1)
_ATTEMPT_COLUMNS = 13
_KEEP = "UPDATE wr_claim SET kept = 1 WHERE key = ? AND run = ?"
_DROP = "DELETE FROM wr_claim WHERE key = ? AND run = ? AND NOT kept"
_CLAIM = """
INSERT INTO wr_claim VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT (key) DO UPDATE
SET id = excluded.id, run = excluded.run, fingerprint = excluded.fingerprint,
  until = excluded.until, kept = 0
WHERE until <= ?"""
_HOLDER = "SELECT id, run, fingerprint, kept FROM wr_claim WHERE key = ?"

_HEADERS = msgspec.json.Decoder(dict[str, str])


class _Insert:
    """A statement for many rows of one table, in the few sizes in which it is kept prepared."""

    def __init__(self, table: str, columns: int, conflict: str) -> None:
        row = f"({', '.join('?' * columns)})"
        self._by_size = {
            size: f"INSERT INTO {table} VALUES {', '.join([row] * size)} {conflict}"
            for size in _SIZES
        }

    def run(self, database: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        start = 0
        for size, statement in self._by_size.items():
            while len(rows) - start >= size:
                some = rows[start : start + size]
                database.execute(statement, list(chain.from_iterable(some)))
                start += size


_TASKS = _Insert("wr_task", len(COLUMNS), ON_CONFLICT)
_ONE_TASK = f"INSERT INTO wr_task VALUES ({', '.join('?' * len(COLUMNS))}) {ON_CONFLICT}"
_LARGE = _Insert("wr_large", 3, "ON CONFLICT DO NOTHING")
_ATTEMPTS = _Insert("wr_attempt", _ATTEMPT_COLUMNS, "ON CONFLICT DO NOTHING")
_ROLLBACKS = _Insert("wr_rollback", 3, ROLLBACK_CONFLICT)


def put(database: sqlite3.Connection, work: Work) -> None:
    """Write what was noted. Raises sqlite3.Error, and what Python says of an impossible value."""
    large, rows = _apart(work.rows)
    _TASKS.run(database, [_task(row) for row in rows])
    _LARGE.run(database, [(row.id, row.run, row.source) for row in large])
    _ATTEMPTS.run(database, [_attempt(each) for each in work.attempts])
    _ROLLBACKS.run(database, [_rollback(each) for each in work.rollbacks])
    for each in work.claims:
        database.execute(_KEEP if isinstance(each, KeepClaim) else _DROP, (each.key, each.run))


def answer(database: sqlite3.Connection, ask: TaskRecord | Claim) -> Answer:
    """Write one thing and say what came of it."""
    if isinstance(ask, Claim):
        return _claim(database, ask)
    large, [row] = _apart([ask])
    changed = database.execute(_ONE_TASK, _task(row)).rowcount
    _LARGE.run(database, [(row.id, row.run, row.source) for row in large])
    return changed > 0


def singly(database: sqlite3.Connection, work: Work) -> Written:
    """Write what can be written, each by itself, within a transaction that is open."""
    refused = []
    for single in work.singles():
        database.execute("SAVEPOINT one")
        try:
            put(database, single)
        except REFUSED as error:
            database.execute("ROLLBACK TO one")
            refused.append(f"the store does not take an entry of {single.name()}: {error}")
        database.execute("RELEASE one")
    return Written([_answer_or_error(database, ask) for ask in work.asks], tuple(refused))


def attempt_of(row: Sequence[Any]) -> Attempt:
    values = list(row)
    values[-3:] = [_HEADERS.decode(values[-3]), values[-2], bool(values[-1])]
    return Attempt(*values)


def _answer_or_error(database: sqlite3.Connection, ask: TaskRecord | Claim) -> Answer:
    try:
        return answer(database, cleaned(ask))
    except REFUSED as error:
        return ValueError(f"the store does not take it: {error}")


def _claim(database: sqlite3.Connection, ask: Claim) -> Holder:
    values = (ask.key, ask.id, ask.run, ask.fingerprint, ask.until, ask.at)
    is_new = database.execute(_CLAIM, values).rowcount > 0
    name, run, fingerprint, kept = database.execute(_HOLDER, (ask.key,)).fetchone()
    return Holder(name, run, fingerprint, is_new=is_new, kept=bool(kept))


def _apart(rows: list[TaskRecord]) -> tuple[list[TaskRecord], list[TaskRecord]]:
    large = [row for row in rows if row.source is not None and len(row.source) > LARGE_BYTES]
    if not large:
        return large, rows
    without = {id(row): replace(row, source=None) for row in large}
    return large, [without.get(id(row), row) for row in rows]


def _task(row: TaskRecord) -> tuple[Any, ...]:
    return astuple(row)


def _attempt(attempt: Attempt) -> tuple[Any, ...]:
    *first, headers, body, truncated = astuple(attempt)
    return (*first, _json(headers), body, truncated)


def _json(headers: Mapping[str, str]) -> str:
    return msgspec.json.encode(headers).decode() if headers else "{}"


def _rollback(ended: RollbackEnded) -> tuple[Any, ...]:
    return astuple(ended)
