"""Stores to test, each open and empty, and the entries that tests note in them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.fakes.observer import RecordingObserver
from tests.parts.worker_store import asked_by_a_worker
from webhook_runner.ports import Clock, Store
from webhook_runner.process.clock import SystemClock
from webhook_runner.settings import StoreSettings
from webhook_runner.store.open_store import make_store
from webhook_runner.task.model import Envelope, Task
from webhook_runner.task.record import Attempt, Change, RollbackState, Stage, sequence
from webhook_runner.task.state import TaskState

REMOTE = "remote:"
"""Before the url of a store that a worker asks its parent for."""

NOW = 1_800_000_000.0


@dataclass(slots=True)
class StoreRig:
    """``store`` runs; ``url`` is where another one finds the same, if anything outlives it."""

    url: str
    store: Store
    observer: RecordingObserver
    running: asyncio.Task[None]

    async def stop(self) -> None:
        """End it as a daemon does: what is left is written."""
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running
        await self.store.close()


@asynccontextmanager
async def open_store(
    url: str, clock: Clock | None = None, **settings: object
) -> AsyncIterator[StoreRig]:
    observer = RecordingObserver()
    wanted = StoreSettings.model_validate(settings)
    store = make_store(url.removeprefix(REMOTE), wanted, clock or SystemClock(), observer)
    rig = StoreRig(url, store, observer, asyncio.ensure_future(store.run()))
    await asyncio.sleep(0)  # it has begun to open
    try:
        if url.startswith(REMOTE):
            async with asked_by_a_worker(store) as asked:
                yield StoreRig(url, asked, observer, rig.running)
        else:
            yield rig
    finally:
        await rig.stop()


def sqlite_url(directory: Path) -> str:
    return f"sqlite:{directory / 'state.db'}"


def task(name: str = "t", queue: str = "q", **fields: object) -> Task:
    source = b'{"url": "http://localhost/hook"}'
    start = {"id": name, "queue": queue, "url": "http://localhost/hook", "source": source}
    return Task(**{**start, **fields})  # type: ignore[arg-type]


def change(
    state: TaskState = TaskState.READY,
    name: str = "t",
    *,
    run: int = 1,
    gen: int = 1,
    turn: int = 0,
    stage: Stage | None = None,
    at: float = NOW,
    first_at: float = NOW,
    queue: str = "q",
    reason: str = "",
    rollback: RollbackState | None = None,
    **fields: object,
) -> Change:
    stages = {TaskState.RUNNING: Stage.STARTED}
    ended = Stage.ENDED if state.is_final else Stage.PLACED
    number = sequence(gen, turn, stage or stages.get(state, ended))
    envelope = Envelope(task(name, queue, **fields), first_at, first_at, run=run, gen=gen)
    return Change(envelope, state, number, at, reason, rollback=rollback)


def attempt(name: str = "t", number: int = 1, *, run: int = 1, **fields: object) -> Attempt:
    seq = sequence(number, 0, Stage.STARTED)
    start = (name, run, seq, number, NOW, NOW + 1, "responded", 200)
    return Attempt(*start, **fields)  # type: ignore[arg-type]


def write_version(url: str, version: int) -> None:
    """Make the tables of a lasting store those of another version."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as file:
            file.execute(f"PRAGMA user_version = {version}")
    else:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("UPDATE wr_schema SET version = %s", (version,))
