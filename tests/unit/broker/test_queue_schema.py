"""The versions of the queue file: an older one is brought forward whole, or not at all."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.unit.broker.batches import batch, claim, entry, names
from webhook_runner.broker.sqlite.batch import Letter
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.salvage import salvage
from webhook_runner.errors import QueueFileError
from webhook_runner.task.notice import Notice

VERSION_1 = """
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN IMMEDIATE;
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
PRAGMA application_id = 2003988785;
PRAGMA user_version = 1;
COMMIT;
PRAGMA journal_mode = WAL;
"""
COUNT = 300
PAGE = 4096


def make_first_version(path: Path) -> None:
    """Make the file that a daemon of version 1 has left, with messages and letters on all pages."""
    rows = [(number, "{}", b"%d" % number + b" " * 300, "") for number in range(1, COUNT + 1)]
    letters = [(COUNT + number, "q", 1, "{}", b"dead", "") for number in range(1, COUNT + 1)]
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(VERSION_1)
        database.executemany("INSERT INTO message VALUES (?, ?, ?, ?)", rows)
        places = [("q", 0, number, 0) for number, *_ in rows]
        database.executemany("INSERT INTO ready VALUES (?, ?, ?, ?)", places)
        database.executemany("INSERT INTO dead VALUES (?, ?, ?, ?, ?, ?)", letters)


@contextmanager
def opened(path: Path) -> Iterator[QueueFile]:
    with closing(QueueFile.open(str(path))) as file:
        yield file


def objects(path: Path) -> list[tuple[str, int, str]]:
    """Return what is in the file and where: salvage puts the one's list in the other's place."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT name, rootpage, sql FROM sqlite_master").fetchall()


def test_a_file_of_version_1_is_brought_forward_with_all_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    make_first_version(path)
    for _ in range(2):  # the second time nothing is left to do
        with opened(path) as file:
            assert file._one("PRAGMA user_version") == 2
            assert file._one("SELECT count(*) FROM dead WHERE queue = 'q'") == COUNT
            assert file._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            file.write(batch(Notice("task:a", 1.0, b"word")))
    with opened(path) as file:
        assert len(names(claim(file, COUNT + 1))) == COUNT
        assert file._one("SELECT count(*) FROM notice") == 1


def test_a_file_that_was_brought_forward_says_so_in_its_header_at_once(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    make_first_version(path)
    with opened(path):
        assert int.from_bytes(path.read_bytes()[60:64]) == 2


def test_a_file_that_was_brought_forward_is_laid_out_as_a_new_one(tmp_path: Path) -> None:
    make_first_version(tmp_path / "old.db")
    for name in ("old.db", "new.db"):
        with opened(tmp_path / name):
            pass
    assert objects(tmp_path / "old.db") == objects(tmp_path / "new.db")


def test_what_cannot_be_brought_forward_whole_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "queue.db"
    make_first_version(path)

    def full(target: str, **how: object) -> sqlite3.Connection:
        database = sqlite3.Connection(target, **how)  # type: ignore[arg-type]
        pages = database.execute("PRAGMA page_count").fetchone()[0] + 2
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    with monkeypatch.context() as patch:
        patch.setattr("webhook_runner.broker.sqlite.queue_file.sqlite3.connect", full)
        with pytest.raises(QueueFileError, match="the disk is full"):
            QueueFile.open(str(path))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    assert "notice" not in {name for name, *_ in objects(path)}
    with opened(path) as file:
        assert file._one("PRAGMA user_version") == 2


def test_a_file_of_the_next_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 3")
    with pytest.raises(QueueFileError, match="newer version"):
        QueueFile.open(str(path))


@pytest.mark.parametrize("lost", [0, 100, PAGE])
def test_a_file_of_version_1_is_salvaged_with_its_header_or_without(
    tmp_path: Path, lost: int
) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    make_first_version(old)
    old.write_bytes(b"\xa5" * lost + old.read_bytes()[lost:])
    saved = salvage(str(old), str(new))
    assert saved == {"message": COUNT, "dead": COUNT, "invalid": 0, "notice": 0}
    with opened(new) as file:
        assert len(claim(file, COUNT + 1).rows) == COUNT


def test_letters_of_a_queue_are_found_without_reading_those_of_others(tmp_path: Path) -> None:
    with opened(tmp_path / "queue.db") as file:
        file.write(batch(Letter(entry("a"), 1, is_dead=True)))
        plan = file._database.execute(
            "EXPLAIN QUERY PLAN SELECT count(*) FROM dead WHERE queue = 'q'"
        ).fetchone()
        assert "COVERING INDEX dead_of_queue" in plan[3]
