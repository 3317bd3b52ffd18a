"""What can still be read of a damaged queue file goes into a new one; the damaged is left alone."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from webhook_runner.broker.sqlite.file_lock import FileLock
from webhook_runner.broker.sqlite.queue_place import real_path, settle_in
from webhook_runner.broker.sqlite.queue_schema import prepare
from webhook_runner.broker.sqlite.queue_trouble import explained, refusal

Row = tuple[object, ...]
_LAST = 2**62
_PAGE = 4096
_COLUMNS = {"message": 4, "dead": 6, "invalid": 6, "notice": 4}
_PLACES = (
    "SELECT id, queue, due, deliveries FROM ready ORDER BY queue {0}, due {0}, id {0}",
    "SELECT id, queue, 0, deliveries + 1 FROM unacked ORDER BY id {0}",
)


def salvage(damaged: str, new: str) -> dict[str, int]:
    """Copy every message and notice that can be read. Returns how many by table.

    Where the place of a message is lost, its own headers tell its queue and when it is due.

    Raises:
        QueueFileError: a daemon has the damaged file, nothing in it can be read, or the new file
            is there already or cannot be written.

    """
    source, target = real_path(damaged), real_path(new)
    if target.exists():
        raise refusal(target, "it is there already; name a new file")
    if not source.exists():
        raise refusal(source, "it is not there")
    lock = FileLock.take(source)
    try:
        with TemporaryDirectory(dir=target.parent) as folder:
            return _copied(source, target, Path(folder))
    except sqlite3.Error as error:
        raise refusal(source, f"it cannot be salvaged: {explained(error)}") from error
    except OSError as error:
        raise refusal(target, f"it cannot be written: {error.strerror}") from error
    finally:
        lock.give_back()


def _copied(source: Path, target: Path, folder: Path) -> dict[str, int]:
    fresh, work = folder / "fresh.db", folder / "work.db"
    _make(fresh)
    shutil.copy(source, work)
    if Path(f"{source}-wal").exists():
        shutil.copy(f"{source}-wal", f"{work}-wal")
    if not _is_readable(work):
        _give_first_page(work, fresh)
    old, new = sqlite3.connect(work), sqlite3.connect(fresh)
    try:
        with new:
            saved = _fill(old, new)
    finally:
        old.close()
        new.close()
    fresh.rename(target)
    return saved


def _make(path: Path) -> None:
    settle_in(path)
    database = sqlite3.connect(path, isolation_level=None)
    try:
        prepare(database, path)
    finally:
        database.close()


def _is_readable(path: Path) -> bool:
    database = sqlite3.connect(path)
    try:
        found = database.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('ready')")
        return bool(found.fetchone()[0])
    except sqlite3.Error:
        return False
    finally:
        database.close()


def _give_first_page(path: Path, fresh: Path) -> None:
    """Put in place of its header and list of tables those of a new file, which are the same."""
    page = bytearray(fresh.read_bytes()[:_PAGE])
    # https://www.sqlite.org/fileformat2.html#in_header_database_size
    page[28:32] = (path.stat().st_size // _PAGE).to_bytes(4)
    page[32:40] = bytes(8)  # what is free is not known
    page[92:96] = page[24:28]
    with path.open("r+b") as file:
        file.write(page)


def _fill(old: sqlite3.Connection, new: sqlite3.Connection) -> dict[str, int]:
    places = {row[0]: row for row in _places(old)}
    saved = dict.fromkeys(_COLUMNS, 0)
    for table, columns in _COLUMNS.items():
        marks = ", ".join("?" * columns)
        for row in _rows(old, table):
            try:
                new.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608 - our names
            except sqlite3.IntegrityError:
                continue
            saved[table] += 1
            if table == "message":
                number, queue, due, deliveries = places.get(row[0]) or _place_told(row)
                new.execute(
                    "INSERT INTO ready VALUES (?, ?, ?, ?)", (queue, due, number, deliveries)
                )
    return saved


def _places(database: sqlite3.Connection) -> Iterator[Row]:
    """Read from both ends up to the damage."""
    for question in _PLACES:
        for order in ("ASC", "DESC"):
            try:
                yield from database.execute(question.format(order))
            except sqlite3.Error:
                continue
            break


def _place_told(row: Row) -> Row:
    try:
        headers = msgspec.json.decode(str(row[1]))
        queue, due = headers.get("wr-queue", "default"), headers.get("wr-due", 0)
    except (msgspec.DecodeError, AttributeError):
        queue, due = "default", 0
    return row[0], str(queue), due if isinstance(due, int) else 0, 0


def _rows(database: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Read by number; at a damage step over it, and from behind it back to it."""
    at, step = 0, 1
    while at < _LAST:
        try:
            for row in _from(database, table, at):
                if step > 1:
                    yield from _back(database, table, row[0], at - step // 2)
                yield row
                at, step = row[0] + 1, 1
        except sqlite3.Error:
            at, step = at + step, step * 2
        else:
            return


def _from(database: sqlite3.Connection, table: str, at: int) -> Iterator[tuple[int, ...]]:
    question = f"SELECT * FROM {table} WHERE id >= ? ORDER BY id"  # noqa: S608 - our names
    yield from database.execute(question, (at,))


def _back(database: sqlite3.Connection, table: str, before: int, after: int) -> Iterator[Row]:
    question = f"SELECT * FROM {table} WHERE id < ? AND id > ? ORDER BY id DESC"  # noqa: S608
    try:
        yield from database.execute(question, (before, after))
    except sqlite3.Error:
        return
