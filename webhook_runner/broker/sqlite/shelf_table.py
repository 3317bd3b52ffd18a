"""What lies in the queue file: letters that were put aside, and how much waits in a queue."""

import sqlite3
from dataclasses import dataclass

from webhook_runner.broker.sqlite.batch import AT_ONCE, Drop, Purge, Removal, Row
from webhook_runner.broker.sqlite.record import message_of
from webhook_runner.task.notice import Aside, PutAside

_PAGE = 100
_PAGE_BYTES = 1_048_576
_DROP = """
DELETE FROM {0} WHERE id IN (
  SELECT id FROM {0} WHERE queue = ? AND id BETWEEN ? AND ? ORDER BY id LIMIT ?)"""
_LETTERS = """
SELECT id, at, headers, body, properties FROM {0}
WHERE queue = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?"""
_COUNT = "SELECT count(*) FROM {0} WHERE queue = ?"
_DUE = "SELECT due, id FROM ready WHERE queue = ? AND due <= ? AND id <= ? LIMIT ?"
_PLACES = "FROM ready WHERE queue = ? AND (due, id) > (?, ?) AND due <= ?"
_MARK = f"SELECT due, id {_PLACES} ORDER BY due, id LIMIT 1 OFFSET ?"
_REST = f"SELECT count(*) {_PLACES}"
_COUNT_STEP = 50_000
START = (-1, 0)
END = 2**62
"""Later than any due time, and beyond any message."""


Place = tuple[int, int]
"""A due time in epoch milliseconds, and a message."""


@dataclass(frozen=True, slots=True)
class Removed:
    """How many went, and how many of them had a due time."""

    count: int
    timed: int = 0


def remove(database: sqlite3.Connection, removal: Removal) -> Removed:
    """Remove letters, or what is ready, within a transaction. Raises sqlite3.Error."""
    match removal:
        case Drop(aside, queue, first, last, most):
            wanted = (queue, first, last, most)
            return Removed(database.execute(_DROP.format(aside.value), wanted).rowcount)
        case Purge():
            return _purge(database, removal)


def _purge(database: sqlite3.Connection, purge: Purge) -> Removed:
    wanted = (purge.queue, purge.now, purge.last, purge.most)
    rows = database.execute(_DUE, wanted).fetchall()
    places = [(purge.queue, due, number) for due, number in rows]
    database.executemany("DELETE FROM ready WHERE queue = ? AND due = ? AND id = ?", places)
    database.executemany("DELETE FROM message WHERE id = ?", [(number,) for _, number in rows])
    return Removed(len(rows), sum(due > AT_ONCE for due, _ in rows))


def page(
    database: sqlite3.Connection, aside: Aside, queue: str, after: int, last: int
) -> list[PutAside]:
    """Read some letters behind the row ``after``, up to ``last``; their handles are their rows.

    Raises sqlite3.Error.
    """
    found = database.execute(_LETTERS.format(aside.value), (queue, after, last, _PAGE))
    letters: list[PutAside] = []
    room = _PAGE_BYTES
    for number, at, headers, body, properties in found:
        row = Row(number, AT_ONCE, 0, headers, body, properties)
        seconds = at / 1000 if isinstance(at, int) else 0.0  # damage may have made it anything
        # After a restart the number of a removed one may be another's: the time tells them apart.
        letter = f"{number}-{at}"
        letters.append(PutAside(aside, queue, letter, seconds, message_of(row), number))
        room -= len(body)
        if room <= 0:
            break
    found.close()
    return letters


def letters_in(database: sqlite3.Connection, aside: Aside, queue: str) -> int:
    """Count the letters of a queue. Raises sqlite3.Error."""
    return int(database.execute(_COUNT.format(aside.value), (queue,)).fetchone()[0])


def places_in(
    database: sqlite3.Connection, queue: str, after: Place, upto: int
) -> tuple[int, Place | None]:
    """Count some places of a queue, due by ``upto``; and behind which to go on, if there are more.

    Raises sqlite3.Error.
    """
    span = (queue, *after, upto)
    mark = database.execute(_MARK, (*span, _COUNT_STEP - 1)).fetchone()
    if mark is not None:
        return _COUNT_STEP, mark
    return int(database.execute(_REST, span).fetchone()[0]), None
