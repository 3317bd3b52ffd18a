"""The notices in the queue file: one for each key, in the order of their posts, for 400 days."""

import sqlite3
from collections.abc import Iterable

from webhook_runner.broker.sqlite.batch import Post
from webhook_runner.task.notice import Notice

KEPT_MILLISECONDS = 400 * 86_400_000
_PAGE = 1000
# What takes the place of an earlier one goes to the end, as if that had never been.
_KEEP = "INSERT OR REPLACE INTO notice VALUES (NULL, ?, ?, ?)"
_KEPT = "SELECT id, key, at, word FROM notice WHERE id > ? AND at >= ? ORDER BY id LIMIT ?"
_OLDEST = "SELECT at FROM notice ORDER BY id LIMIT 1"
_FORGET = """
DELETE FROM notice WHERE id IN (
  SELECT id FROM (SELECT id, at FROM notice ORDER BY id LIMIT ?) WHERE at < ?)"""


def keep(database: sqlite3.Connection, posts: Iterable[Post]) -> None:
    """Write notices down. Raises sqlite3.Error."""
    for post in posts:
        rows = [(each.key, round(each.at * 1000), each.word) for each in post]
        database.executemany(_KEEP, rows)


def kept(database: sqlite3.Connection, after: int, now: int) -> tuple[list[Notice], int]:
    """Read some notices, oldest first, of those behind the row ``after``; and the last of them.

    ``now`` is epoch milliseconds. Raises sqlite3.Error.
    """
    rows = database.execute(_KEPT, (after, now - KEPT_MILLISECONDS, _PAGE)).fetchall()
    last = rows[-1][0] if rows else after
    return [Notice(key, at / 1000, word) for _, key, at, word in rows], last


def forget(database: sqlite3.Connection, now: int) -> None:
    """Remove some of what is too old at ``now``, in epoch milliseconds. Raises sqlite3.Error."""
    oldest, limit = database.execute(_OLDEST).fetchone(), now - KEPT_MILLISECONDS
    if oldest is not None and oldest[0] < limit:
        database.execute(_FORGET, (_PAGE, limit))
