"""What is wrong with the queue file, in words: whether time may mend it, and who must act."""

import sqlite3

from webhook_runner.errors import QueueFileError

UNUSABLE = 74
"""Exit code of a file that cannot be used: EX_IOERR of sysexits.h."""

_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
}
_DAMAGED = (
    "it is damaged: keep a copy of it with its -wal file, and save what can be read with "
    "`webhook-runner salvage FILE NEW_FILE`"
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
# A full disk says so when it has no room for the index of the WAL:
# https://www.sqlite.org/rescode.html#ioerr_shmsize
_NO_ROOM_FOR_INDEX = sqlite3.SQLITE_IOERR_SHMSIZE


NO_DATABASE = _EXPLAINED[sqlite3.SQLITE_NOTADB]


def is_passing(error: sqlite3.Error) -> bool:
    """Whether time may mend it: a full disk, a mount that is read-only, a failing device."""
    return _primary(error) in _PASSING


def explained(error: sqlite3.Error) -> str:
    """Say what is wrong with the file, and what would be right."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code == _NO_ROOM_FOR_INDEX:
        return _EXPLAINED[sqlite3.SQLITE_FULL]
    if _primary(error) == sqlite3.SQLITE_IOERR:
        return f"the disk does not read or write ({getattr(error, 'sqlite_errorname', '')})"
    return _EXPLAINED.get(_primary(error), f"SQLite says: {error}")


def refusal(path: object, why: str) -> QueueFileError:
    """Return the error of a file that cannot be used, in one line."""
    return QueueFileError(f"queue file {path}: {why}", UNUSABLE)


def _primary(error: sqlite3.Error) -> int:
    # The low byte of an extended result code: https://www.sqlite.org/rescode.html
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
