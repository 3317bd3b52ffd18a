"""Faults of the queue file that need no root: a bound on its size, a file system without WAL."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.unit.broker.batches import NOW
from webhook_runner.broker.sqlite.batch import Ack, Entry
from webhook_runner.broker.sqlite.group_commit import RETRY_SECONDS, GroupCommit
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.queue_schema import prepare
from webhook_runner.broker.sqlite.queue_trouble import UNUSABLE
from webhook_runner.errors import QueueFileError


@asynccontextmanager
async def commits(
    path: Path, clock: FakeClock
) -> AsyncIterator[tuple[GroupCommit, QueueFile, list[str]]]:
    told: list[str] = []
    group = GroupCommit(clock, told.append, thread=False)
    file = await group.open(str(path))
    running = asyncio.ensure_future(group.run(file))
    yield group, file, told
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await group.close(file)


def bound(file: QueueFile, pages: int | None = None) -> None:
    """Let the file grow no further, as on a full disk."""
    (count,) = file._database.execute("PRAGMA page_count").fetchone()
    file._database.execute(f"PRAGMA max_page_count = {pages or count}")


async def test_a_full_file_is_told_once_and_taken_up_again_while_acks_go_on(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    async with commits(tmp_path / "queue.db", clock) as (group, file, told):
        await group.publish(Entry("q", "{}", b"small"))
        bound(file)
        waiting = group.publish(Entry("q", "{}", b"x" * 100_000))
        await clock.advance(3 * RETRY_SECONDS)
        assert told == ["the disk is full; make room"]
        waiting.cancel()
        bound(file, 1000)
        # Acks in every round leave no round with nothing to do: that room is back is seen still.
        for number in range(3):
            group.settle(Ack(1000 + number))
            await clock.advance(RETRY_SECONDS)
        assert told == ["the disk is full; make room", ""]
    database = sqlite3.connect(tmp_path / "queue.db")
    assert database.execute("SELECT body FROM message").fetchall() == [(b"small",)]
    database.close()


async def test_a_file_gone_unseen_is_never_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    async with commits(path, FakeClock()) as (_, file, _):
        path.unlink()
        with pytest.raises(QueueFileError, match=r"was removed or replaced.*\.saved-1;"):
            file.tend(NOW)
    assert (tmp_path / "queue.db.saved-1").exists()


def test_a_file_system_that_refuses_wal_is_named(tmp_path: Path) -> None:
    # This VFS of SQLite has no shared memory, as a network file system has none.
    database = sqlite3.connect(f"file:{tmp_path}/queue.db?vfs=unix-dotfile", uri=True)
    with pytest.raises(QueueFileError, match="put it on a local disk"):
        prepare(database, tmp_path / "queue.db")
    database.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere/queue.db", "there is no directory"),
        ("folder", "it is a directory"),
        ("x" * 256, "File name too long"),
        ("loop", "[Ll]oop"),
        ("file/queue.db", "there is no directory"),
    ],
)
def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(QueueFileError, match=words) as refused:
        QueueFile.open(str(tmp_path / name))
    assert refused.value.code == UNUSABLE
    assert "\n" not in str(refused.value)
