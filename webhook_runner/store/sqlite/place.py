"""The state file: its one path, its lock, its mode, its tables, and connections to it."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from webhook_runner.errors import StoreError
from webhook_runner.owner_lock import OwnerLock, TakenError, UnlockableError
from webhook_runner.settings import MEMORY
from webhook_runner.store.database import TAKEN
from webhook_runner.store.migrate import migrations, pending
from webhook_runner.store.sqlite.trouble import refusal

ROOM = "webhook_runner.store.sqlite"
APPLICATION = 0x7772_7331  # "wrs1"
_OWN = 0o600
"""Tasks hold secrets. SQLite gives its -wal and -shm files the mode of the file."""

_WAL_LIMIT_BYTES = 67_108_864
_BUSY_SECONDS = 1.0
_CACHED_STATEMENTS = 256


def settle_in(path: str) -> tuple[Path, OwnerLock]:
    """Take the file for this process, and make it if it is not there.

    Raises:
        StoreError: another daemon has it (names its pid), or there can be no file.

    """
    real = Path(path).resolve()
    if real.is_dir():
        raise refusal(real, "it is a directory; name a file in it")
    if not real.parent.is_dir():
        raise refusal(real, f"there is no directory {real.parent}; make it, or name another file")
    lock = _lock(real)
    try:
        with suppress(FileExistsError):
            real.touch(_OWN, exist_ok=False)
    except OSError as error:
        lock.give_back()
        raise refusal(real, f"{error.strerror}; see to its owner and mode") from error
    return real, lock


def writer(path: str) -> sqlite3.Connection:
    """Connect for writing; calls may come from another thread. Raises sqlite3.Error, StoreError."""
    database = sqlite3.connect(
        path,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )
    try:
        _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def reader(path: Path) -> sqlite3.Connection:
    """Connect for questions. Raises sqlite3.Error and StoreError."""
    database = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        pending(migrations(ROOM), _pragma(database, "user_version"), f"sqlite:{path}")
    except BaseException:
        database.close()
        raise
    return database


def identity(file: Path) -> tuple[int, int] | None:
    """Tell a file from any other; None when it is not there.

    SQLite goes on writing to files that were removed; what it writes then is gone at its end:
    https://www.sqlite.org/howtocorrupt.html#unlinking_or_renaming_a_database_file_while_in_use
    """
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _prepare(database: sqlite3.Connection, path: str) -> None:
    is_ours = _pragma(database, "application_id") == APPLICATION
    if not is_ours and database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise refusal(path, "it is a database of another program; name another file")
    steps = pending(migrations(ROOM), _pragma(database, "user_version"), f"sqlite:{path}")
    if not is_ours:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if database.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal" and path != MEMORY:
        raise refusal(
            path,
            "its file system does not do what SQLite's WAL needs, as those of a network do not; "
            "put it on a local disk",
        )
    database.execute("PRAGMA synchronous = NORMAL")
    # Else what a statement of many rows may have to undo goes through a file of its own.
    database.execute("PRAGMA temp_store = MEMORY")
    database.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    for step in steps:
        _take(database, step.sql, step.number)


def _take(database: sqlite3.Connection, sql: str, number: int) -> None:
    try:
        database.executescript(
            f"BEGIN IMMEDIATE; {sql}; PRAGMA application_id = {APPLICATION};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def _lock(real: Path) -> OwnerLock:
    try:
        return OwnerLock.take(real)
    except TakenError as error:
        raise StoreError(
            f"store sqlite:{real}: process {str(error) or '(unknown)'} has it; a file belongs to "
            "one daemon: stop that one, name another file, or let several share PostgreSQL",
            TAKEN,
        ) from None
    except UnlockableError as error:
        raise refusal(real, str(error)) from error
