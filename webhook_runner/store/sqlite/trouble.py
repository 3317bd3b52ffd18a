"""What is wrong with the state file, in words: whether time may mend it, and who must act."""

import sqlite3

from webhook_runner.errors import StoreError
from webhook_runner.store.database import UNUSABLE, TroubleError

_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
}
_OF_PLACE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_EXPLAINED = {
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_IOERR: "the disk does not read or write",
    sqlite3.SQLITE_READONLY: "it may not be written; see to its owner, its mode and its mount",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; see whether its directory is there and yours",
    sqlite3.SQLITE_BUSY: "another program holds a lock on it",
    sqlite3.SQLITE_INTERRUPT: "it took too long to write",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database; name another file",
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged: put it aside with its -wal file; a new one is made at the next start, "
        "and every task is kept by the broker"
    ),
}
# A full disk says so when it has no room for the index of the WAL:
# https://www.sqlite.org/rescode.html#ioerr_shmsize
_NO_ROOM_FOR_INDEX = sqlite3.SQLITE_IOERR_SHMSIZE
REFUSED = (UnicodeEncodeError, OverflowError, sqlite3.DataError, sqlite3.IntegrityError)
"""What SQLite and its module raise for a value that cannot be stored."""


def refusal(path: object, why: str) -> StoreError:
    """Return the error of a file that cannot be used, in one line."""
    return StoreError(f"store sqlite:{path}: {why}", UNUSABLE)


def trouble(
    path: object, error: sqlite3.Error, *, starting: bool = False
) -> TroubleError | StoreError:
    """Return what the store is to raise for an error of SQLite's.

    What is wrong with the place at the start is not waited out: somebody has just named it.
    """
    if _primary(error) in _PASSING - (_OF_PLACE if starting else set()):
        return TroubleError(f"store sqlite:{path}: {explained(error)}")
    return refusal(path, explained(error))


def explained(error: sqlite3.Error) -> str:
    """Say what is wrong with the file, and what would be right."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code == _NO_ROOM_FOR_INDEX:
        return _EXPLAINED[sqlite3.SQLITE_FULL]
    return _EXPLAINED.get(_primary(error), f"SQLite says: {error}")


def _primary(error: sqlite3.Error) -> int:
    # The low byte of an extended result code: https://www.sqlite.org/rescode.html
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
