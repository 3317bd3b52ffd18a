"""The state file: who may have it, what it is when something is wrong with it, what it survives."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.store_rig import NOW, StoreRig, attempt, change, open_store, sqlite_url
from tests.fakes.clock import FakeClock, settle
from webhook_runner.errors import StoreError, StoreUnavailableError
from webhook_runner.settings import StoreSettings
from webhook_runner.store import ledger
from webhook_runner.store.migrate import Migration, migrations, pending
from webhook_runner.store.open_store import make_store
from webhook_runner.store.sqlite.state_file import StateFile
from webhook_runner.task.event import StoreFailed, StoreMended, Warned
from webhook_runner.task.record import Claim, TaskQuery
from webhook_runner.task.state import TaskState

KILLED_AFTER_KEPT = """
import asyncio, os, signal, sys
from tests.contract.store_rig import change, open_store
async def main():
    async with open_store(sys.argv[1]) as rig:
        for number in range(100):
            rig.store.record(change(name=f"t{number}"))
        await rig.store.kept()
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
KILLED_IN_MIGRATION = """
import os, signal, sqlite3, sys
from webhook_runner.store.migrate import Migration
from webhook_runner.store.sqlite import place
from webhook_runner.store.sqlite.state_file import StateFile
class Deadly(sqlite3.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
steps = place.migrations(place.ROOM)
first = Migration(1, "tasks", steps[0].sql + "; SELECT die()")
place.migrations = lambda _: [first]
connect = sqlite3.connect
sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=Deadly, **kwargs)
StateFile(sys.argv[1]).open()
"""
SUCCEEDED = TaskState.SUCCEEDED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "RETRY_SECONDS", 0.02)


def refused(path: object, match: str) -> StoreError:
    with pytest.raises(StoreError, match=match) as raised:
        StateFile(str(path)).open()
    return raised.value


async def ids(rig: StoreRig) -> set[str]:
    return {each.id for each in (await rig.store.tasks(TaskQuery(limit=1000))).tasks}


def damage(path: Path) -> None:
    """Leave the first page as it is, and nothing else."""
    read = path.read_bytes()
    path.write_bytes(read[:4096] + b"\xff" * (len(read) - 4096))


def remove(path: Path) -> None:
    path.unlink()


def run(script: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-c", script, *arguments], check=False).returncode


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    first = StateFile(str(path))
    first.open()
    error = refused(path, f"process {os.getpid()} has it.*PostgreSQL")
    assert error.code == 4
    first.close()
    second = StateFile(str(path))
    second.open()
    second.close()


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    file = StateFile(str(path))
    file.open()
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
    file.close()


def test_what_is_no_place_for_it_is_refused(tmp_path: Path, path: Path) -> None:
    assert refused(tmp_path, "is a directory").code == 74
    refused(tmp_path / "nowhere" / "state.db", "there is no directory")
    path.write_text("no database" * 1000)
    refused(path, "is no SQLite database")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE a (b)")
    refused(tmp_path / "other.db", "database of another program")


async def test_what_was_kept_survives_a_kill(path: Path) -> None:
    assert run(KILLED_AFTER_KEPT, f"sqlite:{path}") == -signal.SIGKILL
    async with open_store(f"sqlite:{path}") as rig:
        assert len(await ids(rig)) == 100


def test_a_migration_that_is_killed_leaves_nothing_and_is_made_again(path: Path) -> None:
    assert run(KILLED_IN_MIGRATION, str(path)) == -signal.SIGKILL
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        assert file.execute("PRAGMA user_version").fetchone() == (0,)
    again = StateFile(str(path))
    again.open()
    assert again.counts() == []
    again.close()


def test_the_steps_are_numbered_without_a_gap() -> None:
    for room in ("sqlite", "postgresql"):
        steps = migrations(f"webhook_runner.store.{room}")
        assert [step.number for step in steps] == list(range(1, len(steps) + 1))


def test_only_the_steps_that_are_missing_are_taken() -> None:
    steps = [Migration(number, "", "") for number in (1, 2, 3)]
    assert pending(steps, 1, "here") == steps[1:]
    assert pending(steps, 3, "here") == []


async def test_a_full_disk_is_waited_out(tmp_path: Path) -> None:
    async with open_store(sqlite_url(tmp_path)) as rig:
        rig.store.record(change(name="before"))
        await rig.store.kept()
        database = rig.store._database._database  # type: ignore[attr-defined]
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        rig.store.record(change(name="big", source=b"x" * 500_000))
        kept = asyncio.ensure_future(rig.store.kept())
        failed = await rig.observer.wait_for(StoreFailed)
        assert "disk is full" in failed.reason
        assert "disk is full" in rig.store.state().trouble
        with pytest.raises(StoreUnavailableError, match="disk is full"):
            await rig.store.find("before")
        assert not kept.done()
        database.execute("PRAGMA max_page_count = 1000000")
        await asyncio.wait_for(kept, 30)
        assert rig.observer.last(StoreMended).lost == 0
        assert await ids(rig) == {"before", "big"}


async def test_a_file_that_another_program_locks_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_runner.store.sqlite.place._BUSY_SECONDS", 0.01)
    async with open_store(f"sqlite:{path}") as rig:
        await rig.store.usable()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            rig.store.record(change())
            failed = await rig.observer.wait_for(StoreFailed)
            assert "another program holds a lock" in failed.reason
        await asyncio.wait_for(rig.store.usable(), 30)
        assert await ids(rig) == {"t"}


async def test_a_degraded_store_goes_on_while_it_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_runner.store.sqlite.place._BUSY_SECONDS", 0.01)
    monkeypatch.setattr(ledger, "MOST_NOTED", 3)
    async with open_store(f"sqlite:{path}", on_failure="degraded") as rig:
        rig.store.record(change(name="first"))
        await rig.store.kept()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(10):
                rig.store.record(change(name=f"t{number}"))
                await asyncio.wait_for(rig.store.kept(), 30)
            assert not rig.observer.last(StoreFailed).waits
        assert (await rig.observer.wait_for(StoreMended, within=30)).lost == 7
        assert await ids(rig) == {"first", "t7", "t8", "t9"}


async def test_a_damaged_file_ends_it_with_one_line(path: Path) -> None:
    async with open_store(f"sqlite:{path}") as rig:
        for number in range(200):
            rig.store.record(change(name=f"t{number}"))
        await rig.store.kept()
    damage(path)
    async with open_store(f"sqlite:{path}") as rig:
        rig.store.record(change(name="t1", gen=9))
        with pytest.raises(StoreError, match="is damaged") as raised:
            await rig.running
        assert raised.value.code == 74
        assert "is damaged" in rig.store.state().trouble
        rig.running = asyncio.ensure_future(asyncio.sleep(0))


async def test_a_file_that_is_removed_while_in_use_ends_it(path: Path) -> None:
    async with open_store(f"sqlite:{path}") as rig:
        rig.store.record(change())
        await rig.store.kept()
        remove(path)
        rig.store.record(change(name="u"))
        with pytest.raises(StoreError, match="removed or replaced"):
            await rig.running
        rig.running = asyncio.ensure_future(asyncio.sleep(0))


async def test_what_the_database_refuses_is_told_and_left_out_alone(path: Path) -> None:
    async with open_store(f"sqlite:{path}") as rig:
        rig.store.record(attempt("huge", 2**70))
        rig.store.record(change())
        await asyncio.wait_for(rig.store.kept(), 30)
        told = await rig.observer.wait_for(Warned)
        assert "does not take an entry of huge" in told.text
        assert await ids(rig) == {"t"}


async def test_finished_runs_and_claims_that_are_over_are_forgotten() -> None:
    clock = FakeClock(NOW)
    async with open_store("sqlite::memory:", clock, retention_days=1) as rig:
        rig.store.record(change(SUCCEEDED, "old", at=NOW))
        rig.store.record(change(SUCCEEDED, "young", at=NOW + 7200))
        rig.store.record(change(TaskState.SCHEDULED, "waiting", at=NOW))
        await rig.store.claim(Claim("k", "t", 1, b"", NOW, NOW + 10))
        await settle()
        await clock.advance(86_400 + 3600)
        assert await ids(rig) == {"young", "waiting"}
        database = rig.store._database._database  # type: ignore[attr-defined]
        assert database.execute("SELECT count(*) FROM wr_claim").fetchone() == (0,)


def test_a_missing_package_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "webhook_runner.store.postgresql.server", None)
    with pytest.raises(StoreError, match=r"pip install 'webhook-runner\[postgresql\]'") as raised:
        make_store("postgresql://", StoreSettings(), FakeClock(), None)  # type: ignore[arg-type]
    assert raised.value.code == 2


async def test_a_store_can_be_exported_while_another_process_writes_it(path: Path) -> None:
    async with open_store(f"sqlite:{path}") as rig:
        rig.store.record(change(SUCCEEDED))
        await rig.store.kept()
        beside = make_store(f"sqlite:{path}", StoreSettings(), FakeClock(), rig.observer)
        assert [line["id"] async for line in beside.export(NOW + 1)] == ["t"]
        await beside.close()


async def test_a_file_that_was_large_gives_its_room_back(path: Path) -> None:
    async with open_store(f"sqlite:{path}") as rig:
        for number in range(10):
            rig.store.record(change(SUCCEEDED, f"t{number}", source=b"x" * 1_000_000))
        await rig.store.kept()
        database = rig.store._database._database  # type: ignore[attr-defined]
        before = database.execute("PRAGMA page_count").fetchone()[0]
        assert await rig.store.forget(NOW + 1) == 10
        assert database.execute("PRAGMA page_count").fetchone()[0] < before - 1000
