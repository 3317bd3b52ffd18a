"""Group commit: what is asked together is written together, and answered when it is on disk."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.parts.running_broker import WallClock, until
from tests.unit.broker.batches import NOW, entry
from webhook_runner.broker.sqlite.batch import Ack, Batch, Claim, Written
from webhook_runner.broker.sqlite.group_commit import RETRY_SECONDS, GroupCommit
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.errors import QueueFileError
from webhook_runner.settings import MEMORY

LARGE = entry("x" * 1_000_000)


class Commits:
    """Group commit in the loop, over a file in memory, with a clock that is moved."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: list[str] = []
        self.group = GroupCommit(self.clock, self.told.append, thread=False)
        self.said: list[str] = []

    async def open(self) -> None:
        self.file = await self.group.open(MEMORY)
        self.file._database.set_trace_callback(self.said.append)
        self.run = asyncio.ensure_future(self.group.run(self.file))

    def fill(self) -> None:
        pages = self.file._one("PRAGMA page_count")
        self.file._database.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self) -> None:
        self.file._database.execute("PRAGMA max_page_count = 1073741823")

    async def close(self) -> None:
        self.run.cancel()
        await asyncio.gather(self.run, return_exceptions=True)
        await self.group.close(self.file)


@pytest.fixture
async def commits() -> AsyncIterator[Commits]:
    made = Commits()
    await made.open()
    yield made
    await made.close()


async def test_what_is_asked_together_is_one_transaction(commits: Commits) -> None:
    asked = [commits.group.publish(entry(str(number))) for number in range(500)]
    found = commits.group.claim(Claim("q", NOW, 500))
    await asyncio.gather(*asked)
    assert len((await found).rows) == 500
    assert commits.said.count("COMMIT") == 1


class Gate:
    """Holds the writer's thread before each COMMIT until it is opened for one."""

    def __init__(self) -> None:
        self.commits = 0
        self._open = threading.Semaphore(0)

    def __call__(self, statement: str) -> None:
        if statement == "COMMIT":
            self.commits += 1
            assert self._open.acquire(timeout=60)

    def let_through(self) -> None:
        self._open.release()


@asynccontextmanager
async def gated(path: Path) -> AsyncIterator[tuple[GroupCommit, Gate]]:
    told: list[str] = []
    gate, group = Gate(), GroupCommit(WallClock(), told.append, thread=True)
    file = await group.open(str(path))
    file._database.set_trace_callback(gate)
    run = asyncio.ensure_future(group.run(file))
    try:
        yield group, gate
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        gate.let_through()
        await group.close(file)


async def test_a_publish_is_confirmed_after_its_commit_and_what_came_meanwhile_by_the_next(
    tmp_path: Path,
) -> None:
    async with gated(tmp_path / "queue.db") as (group, gate):
        first = group.publish(entry("first"))
        await until(lambda: gate.commits == 1, "the first commit")
        others = [group.publish(entry(str(number))) for number in range(50)]
        await settle()
        assert not first.done()
        gate.let_through()
        await first
        await until(lambda: gate.commits == 2, "the second commit")
        assert not any(each.done() for each in others)
        gate.let_through()
        await asyncio.gather(*others)
        assert gate.commits == 2


async def test_an_ack_that_the_end_overtakes_is_answered_false(tmp_path: Path) -> None:
    async with gated(tmp_path / "queue.db") as (group, gate):
        written = group.settle(Ack(1))
        await until(lambda: gate.commits == 1, "the commit")
        waiting = group.settle(Ack(2))
    assert (await written, await waiting) == (False, False)


async def test_a_full_disk_is_told_once_and_what_waits_is_tried_every_second(
    commits: Commits,
) -> None:
    commits.fill()
    waiting = commits.group.publish(LARGE)
    for _ in range(5):
        await commits.clock.advance(RETRY_SECONDS)
    assert not waiting.done()
    assert commits.told == ["the disk is full; make room"]
    assert commits.said.count("BEGIN IMMEDIATE") >= 5
    commits.make_room()
    await commits.clock.advance(RETRY_SECONDS)
    await waiting
    assert commits.told[1:] == [""]
    assert commits.file._one("SELECT count(*) FROM message") == 1


async def test_acks_go_on_while_the_disk_is_full(commits: Commits) -> None:
    await commits.group.publish(entry("a"))
    (row,) = (await commits.group.claim(Claim("q", NOW, 1))).rows
    commits.fill()
    waiting = commits.group.publish(LARGE)
    await settle()
    acked = commits.group.settle(Ack(row.id))
    await commits.clock.advance(RETRY_SECONDS)
    assert await acked is True
    assert not waiting.done()
    assert commits.group.trouble


async def test_a_disk_that_has_room_again_is_noticed_whatever_goes_on_beside(
    commits: Commits,
) -> None:
    commits.fill()
    waiting = commits.group.publish(LARGE)
    await settle()
    waiting.cancel()
    await commits.clock.advance(RETRY_SECONDS)
    assert commits.group.trouble
    commits.make_room()
    acked = commits.group.settle(Ack(1))  # acks alone must not keep it from looking
    await commits.clock.advance(RETRY_SECONDS)
    assert commits.group.trouble == ""
    assert await acked is True
    assert commits.file._one("SELECT count(*) FROM message") == 0


async def test_nothing_is_waited_for_when_nothing_is_left_to_write_in_trouble(
    commits: Commits,
) -> None:
    commits.fill()
    waiting = commits.group.publish(LARGE)
    await settle()
    flushing = asyncio.ensure_future(commits.group.flush())
    await commits.clock.advance(RETRY_SECONDS)
    assert not flushing.done()
    waiting.cancel()
    await commits.clock.advance(RETRY_SECONDS)
    await flushing
    assert commits.group.trouble


class Failing(QueueFile):
    """Fails as told, one word for each write: "full", "damaged" or "well"."""

    fate: list[str]

    def write(self, batch: Batch) -> Written:
        word = self.fate.pop(0) if self.fate else "well"
        if word == "well":
            return super().write(batch)
        error = sqlite3.OperationalError(word)
        code = sqlite3.SQLITE_FULL if word == "full" else sqlite3.SQLITE_CORRUPT
        error.sqlite_errorcode = code
        raise error


@pytest.fixture
async def failing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Commits, Failing]]:
    monkeypatch.setattr("webhook_runner.broker.sqlite.group_commit.QueueFile", Failing)
    made = Commits()
    await made.open()
    file = made.file
    assert isinstance(file, Failing)
    file.fate = []
    yield made, file
    await made.close()


async def test_an_ack_that_failed_more_than_once_is_written_in_the_end(
    failing: tuple[Commits, Failing],
) -> None:
    commits, file = failing
    file.fate = ["full", "full"]
    acked, published = commits.group.settle(Ack(1)), commits.group.publish(entry("a"))
    await commits.clock.advance(2 * RETRY_SECONDS)
    assert await acked is True
    await published
    await commits.group.flush()
    assert commits.group.trouble == ""


async def test_order_is_kept_through_a_failure(failing: tuple[Commits, Failing]) -> None:
    commits, file = failing
    file.fate = ["full", "full"]
    first = commits.group.publish(entry("first"))
    await settle()
    second = commits.group.publish(entry("second"))
    await commits.clock.advance(3 * RETRY_SECONDS)
    await asyncio.gather(first, second)
    rows = (await commits.group.claim(Claim("q", NOW, 9))).rows
    assert [row.body for row in rows] == [b"first", b"second"]


async def test_a_damaged_file_ends_it_all_with_words_for_the_operator(
    failing: tuple[Commits, Failing],
) -> None:
    commits, file = failing
    file.fate = ["damaged"]
    acked = commits.group.settle(Ack(1))
    with pytest.raises(QueueFileError, match="is damaged"):
        await commits.run
    await commits.group.close(file)
    assert await acked is False
