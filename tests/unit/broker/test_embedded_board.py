"""The board and the shelf of the embedded broker where its file is full, closed, old or damaged."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.fakes.broker import RecordingBroker
from tests.fakes.clock import FakeClock, settle
from tests.fakes.observer import RecordingObserver
from tests.parts.running_broker import Heard, Recorder, WallClock
from webhook_runner.broker.embedded import EmbeddedBroker
from webhook_runner.broker.sqlite import notice_table, shelf, shelf_table
from webhook_runner.broker.sqlite.group_commit import RETRY_SECONDS
from webhook_runner.errors import BrokerUnavailableError, QueueFileError
from webhook_runner.settings import MEMORY
from webhook_runner.task.model import Envelope, Message, Task
from webhook_runner.task.notice import Aside, Depths, Notice, PutAside

DAY = 86_400.0
PAGE = 4096
PAPER = PutAside(Aside.DEAD, "q", "1", 0.0, Message(b"{}", {}), 1)


class Stage:
    """One broker after the other on one path, with a clock that is moved."""

    def __init__(self, path: str, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.heard = Heard()
        self.broker = EmbeddedBroker(path, self.clock, RecordingObserver())
        self.broker.attend(self.heard)

    @property
    def database(self) -> sqlite3.Connection:
        assert self.broker._file is not None
        return self.broker._file._database

    def root_of(self, name: str) -> int:
        """Return the page where a table or an index begins, from 1."""
        question = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return int(self.database.execute(question, (name,)).fetchone()[0])

    def fill(self) -> None:
        (pages,) = self.database.execute("PRAGMA page_count").fetchone()
        self.database.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self) -> None:
        self.database.execute("PRAGMA max_page_count = 1073741823")

    def note(self, key: str, word: bytes = b"") -> Notice:
        return Notice(key, self.clock.now(), word)

    def task(self, name: str, wait: float = 0.0) -> Envelope:
        now = self.clock.now()
        task = Task(id=name, queue="q", url="http://a.example", source=b"{}")
        return Envelope(task, first_at=now, due_at=now + wait)


def damage(path: str, page: int) -> None:
    with Path(path).open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


@asynccontextmanager
async def at_work(stage: Stage) -> AsyncIterator[Stage]:
    running = asyncio.ensure_future(stage.broker.run())
    await asyncio.wait(
        (running, asyncio.ensure_future(stage.broker.writable())),
        return_when=asyncio.FIRST_COMPLETED,
    )
    try:
        yield stage
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with at_work(Stage(MEMORY)) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "queue.db")


async def test_a_post_waits_while_the_disk_is_full_and_is_not_recalled_before(
    stage: Stage,
) -> None:
    stage.fill()
    notice = stage.note("task:a", b"x" * 100_000)
    posting = asyncio.ensure_future(stage.broker.post([notice]))
    await stage.clock.advance(3 * RETRY_SECONDS)
    assert (posting.done(), stage.heard.said) == (False, [])
    stage.make_room()
    await stage.clock.advance(RETRY_SECONDS)
    await posting
    assert stage.heard.said == [notice]
    assert stage.broker.state().blocked == ""


async def test_a_post_that_nobody_waits_for_any_more_is_made_and_recalled(stage: Stage) -> None:
    notice = stage.note("task:a")
    posting = asyncio.ensure_future(stage.broker.post([notice]))
    await asyncio.sleep(0)
    posting.cancel()
    await settle()
    assert stage.heard.said == [notice]
    assert stage.database.execute("SELECT key FROM notice").fetchall() == [("task:a",)]


async def test_a_word_waits_for_the_recall() -> None:
    stage = Stage(MEMORY)
    calling = asyncio.ensure_future(stage.broker.call(b"word"))
    await settle()
    assert not calling.done()
    async with at_work(stage):
        await calling
        assert stage.heard.said == [b"word"]


async def test_a_broker_that_nobody_listens_to_keeps_what_is_posted(stage: Stage) -> None:
    broker = EmbeddedBroker(MEMORY, stage.clock, RecordingObserver())
    running = asyncio.ensure_future(broker.run())
    await broker.post([stage.note("task:a")])
    await broker.call(b"word")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_stand_in_of_the_journeys_recalls_what_it_inherits() -> None:
    clock, heard = FakeClock(), Heard()
    first, second = (RecordingBroker(clock, RecordingObserver()) for _ in range(2))
    second.attend(heard)
    running = [asyncio.ensure_future(each.run()) for each in (first, second)]
    notice = Notice("task:a", clock.now(), b"")
    await first.post([notice])
    await first.enqueue(Envelope(Task("t", "q", "http://a", b"{}"), 0.0, 0.0))
    recorder = Recorder(second, WallClock())
    await second.consume("q", recorder, 1)
    second.inherit(first)
    assert recorder.taken == []
    await settle()
    assert (heard.said, recorder.ids) == ([notice], {"t"})
    assert first.log[0] == ("post", "task:a")
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_notices_go_after_400_days(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_table, "_PAGE", 2)
    clock = FakeClock()
    async with at_work(Stage(path, clock)) as stage:
        await stage.broker.post([stage.note(f"old:{number}") for number in range(5)])
    clock = FakeClock(clock.now() + 399 * DAY)
    async with at_work(Stage(path, clock)) as stage:
        assert len(stage.heard.notices) == 5
        young = stage.note("young")
        await stage.broker.post([young])
    clock = FakeClock(clock.now() + 2 * DAY)
    async with at_work(Stage(path, clock)) as stage:
        assert stage.heard.said == [young]
    count = 6
    file = notice_database(path)
    for now in (clock.now(), clock.now() - 2 * DAY, clock.now(), clock.now()):
        notice_table.forget(file, round(now * 1000))
        ((left,),) = file.execute("SELECT count(*) FROM notice").fetchall()
        assert count - left in (0, 1, 2)
        count = left
    assert file.execute("SELECT key FROM notice").fetchall() == [("young",)]
    file.close()


def notice_database(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


async def test_an_open_file_forgets_as_time_goes_by(path: str) -> None:
    async with at_work(Stage(path)) as stage:
        await stage.broker.post([stage.note("old")])
        file, later = stage.broker._file, stage.clock.now() + 401 * DAY
        assert file is not None
        await stage.broker._commits._call(lambda: file.tend(round(later * 1000)))
        assert file._one("SELECT count(*) FROM notice") == 0


async def test_damage_where_the_notices_lie_ends_the_daemon_with_words(path: str) -> None:
    async with at_work(Stage(path)) as stage:
        await stage.broker.post([stage.note("task:a")])
        root = stage.root_of("notice")
    damage(path, root)
    for _ in range(2):  # the lock was given back
        broken = Stage(path)
        with pytest.raises(QueueFileError, match="is damaged"):
            await broken.broker.run()


async def test_a_shelf_whose_file_is_not_open_says_so() -> None:
    broker = Stage(MEMORY).broker
    for asked in (
        broker.depths("q"),
        broker.purge("q"),
        broker.clear(Aside.DEAD, "q"),
        broker.remove(PAPER),
        anext(aiter_of(broker)),
    ):
        with pytest.raises(BrokerUnavailableError, match="not open"):
            await asked


async def aiter_of(broker: EmbeddedBroker) -> AsyncIterator[PutAside]:
    async with broker.walk(Aside.DEAD, "q") as letters:
        async for each in letters:
            yield each


async def test_a_removal_that_the_end_overtakes_says_so() -> None:
    stage = Stage(MEMORY)
    async with at_work(stage):
        await stage.broker.bury(stage.task("t"), b"{}")
        stage.fill()
        waiting = asyncio.ensure_future(stage.broker.post([stage.note("x", b"x" * 100_000)]))
        await settle()
        removing = asyncio.ensure_future(stage.broker.clear(Aside.DEAD, "q"))
        await settle()
        assert not removing.done()
    with pytest.raises(BrokerUnavailableError, match="closed"):
        await removing
    waiting.cancel()


async def test_what_is_removed_makes_room_on_a_full_disk(stage: Stage) -> None:
    await stage.broker.bury(stage.task("t"), b"{}")
    stage.fill()
    waiting = asyncio.ensure_future(stage.broker.post([stage.note("x", b"x" * 100_000)]))
    await settle()
    removing = asyncio.ensure_future(stage.broker.clear(Aside.DEAD, "q"))
    await stage.clock.advance(2 * RETRY_SECONDS)
    assert await removing == 1
    assert not waiting.done()
    waiting.cancel()
    stage.make_room()
    await stage.clock.advance(RETRY_SECONDS)


async def test_a_letter_that_cannot_be_read_costs_the_question_and_not_the_daemon(
    path: str,
) -> None:
    async with at_work(Stage(path)) as stage:
        await stage.broker.bury(stage.task("t"), b"{}")
        root = stage.root_of("dead_of_queue")
    damage(path, root)
    async with at_work(Stage(path)) as stage:
        with pytest.raises(BrokerUnavailableError, match="is damaged"):
            await stage.broker.depths("q")
        with pytest.raises(BrokerUnavailableError, match="is damaged"):
            [each async for each in aiter_of(stage.broker)]
        await stage.broker.enqueue(stage.task("on"))
        assert stage.broker.state().connected


async def test_a_queue_that_nobody_knows_is_empty(stage: Stage) -> None:
    assert await stage.broker.depths("nobody's") == Depths(0, 0, 0, 0)
    assert await stage.broker.purge("nobody's") == 0


async def test_a_letter_never_has_the_name_of_one_that_is_gone(path: str) -> None:
    names: set[str] = set()
    clock = FakeClock()
    for number in range(3):  # each daemon begins to count anew, as the file is empty again
        async with at_work(Stage(path, clock)) as stage:
            await stage.broker.bury(stage.task(f"t{number}"), b"{}")
            names |= {each.letter async for each in aiter_of(stage.broker)}
            assert await stage.broker.clear(Aside.DEAD, "q") == 1
        clock = FakeClock(clock.now() + 1.0)
    assert len(names) == 3


async def test_steps_add_up_to_the_whole(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_table, "_COUNT_STEP", 3)
    monkeypatch.setattr(shelf_table, "_PAGE", 3)
    monkeypatch.setattr(shelf, "_STEP", 3)
    broker = stage.broker
    for number in range(7):
        await broker.enqueue(stage.task(f"now-{number}"))
        await broker.park(stage.task(f"due-{number}", 0.5))
        await broker.park(stage.task(f"later-{number}", 5.0 + number % 2))
        await broker.bury(stage.task(f"dead-{number}"), b"{}")
    assert await broker.depths("q") == Depths(ready=7, dead=7, invalid=0, scheduled=14)
    await stage.clock.advance(1.0)
    assert await broker.depths("q") == Depths(ready=14, dead=7, invalid=0, scheduled=7)
    shown = [each.message.headers["wr-id"] async for each in aiter_of(broker)]
    assert shown == [f"dead-{number}" for number in range(7)]
    assert broker.scheduled() == 14
    assert await broker.purge("q") == 14
    assert await broker.clear(Aside.DEAD, "q") == 7
    assert await broker.depths("q") == Depths(ready=0, dead=0, invalid=0, scheduled=7)
    assert broker.scheduled() == 7
