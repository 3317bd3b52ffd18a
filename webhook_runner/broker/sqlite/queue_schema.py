"""The tables of the queue file, and how a file is known to be one before it is touched."""

import sqlite3
from pathlib import Path

from webhook_runner.broker.sqlite.queue_trouble import NO_DATABASE, refusal
from webhook_runner.settings import MEMORY

_APPLICATION = 0x7772_7131  # "wrq1"
_VERSION = 2
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
# Of version 2, the last in a new file as in one that was brought forward: roots lie in one order.
_SINCE_2 = """
CREATE TABLE notice (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, word BLOB NOT NULL,
  CHECK (typeof(at) = 'integer' AND typeof(word) = 'blob'));
CREATE INDEX dead_of_queue ON dead (queue);
CREATE INDEX invalid_of_queue ON invalid (queue);
"""
_HEADER = 100
_WAL_LIMIT_BYTES = 67_108_864


def inspect(path: Path) -> None:
    """See that the file is new or ours, from its header alone: another's is not touched.

    Raises:
        QueueFileError: it is no SQLite database, another program's, or a newer version's.
        OSError: it cannot be read.

    """
    # What an interrupted making of the file has left is SQLite's to undo.
    if not path.exists() or path.with_name(f"{path.name}-journal").exists():
        return
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not header:
        return
    # https://www.sqlite.org/fileformat2.html#the_database_header
    if not header.startswith(b"SQLite format 3\0") or len(header) < _HEADER:
        raise refusal(path, NO_DATABASE)
    _judge(path, int.from_bytes(header[68:72]), int.from_bytes(header[60:64]))


def prepare(database: sqlite3.Connection, path: Path | str) -> None:
    """Make the tables, or see that they are ours, and of this version.

    Raises sqlite3.Error and QueueFileError.
    """
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        # Before WAL, so that the header of the file itself tells whose it is.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} {_SINCE_2} PRAGMA application_id = {_APPLICATION};"
            f" PRAGMA user_version = {_VERSION}; COMMIT;"
        )
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    _judge(path, application, version)
    if version < _VERSION:
        # Into the file itself, whose header alone tells an older daemon to leave it.
        database.executescript(
            f"BEGIN IMMEDIATE; {_SINCE_2} PRAGMA user_version = {_VERSION}; COMMIT;"
            " PRAGMA wal_checkpoint(TRUNCATE);"
        )
    (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal" and path != MEMORY:
        raise refusal(
            path,
            "its file system does not do what SQLite's WAL needs, as those of a network do not; "
            "put it on a local disk",
        )
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")


def _judge(path: Path | str, application: int, version: int) -> None:
    if application != _APPLICATION:
        raise refusal(path, "it is a database of another program; name another file")
    if version > _VERSION:
        raise refusal(path, "a newer version of webhook-runner has written it; use that one")
