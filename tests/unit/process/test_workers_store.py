"""The store of a worker when its parent is slow, in trouble, or gone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.store_rig import attempt, change
from tests.fakes.observer import RecordingObserver
from webhook_runner.errors import StoreUnavailableError
from webhook_runner.process.workers.line import Line
from webhook_runner.process.workers.remote_store import RemoteStore
from webhook_runner.process.workers.wire import (
    TO_WORKER,
    Ask,
    FromWorker,
    Kept,
    Noted,
    StoreStands,
    ToWorker,
)
from webhook_runner.task.record import Stage
from webhook_runner.task.state import TaskState

FINE = StoreStands("sqlite", "", waits=True)
BAD = StoreStands("sqlite", "the disk is full", waits=True)


class Parent(Line[ToWorker]):
    """A line whose other end is here, and as slow as a test wants it."""

    def __init__(self) -> None:
        super().__init__(TO_WORKER, lambda _: None)
        self.sent: list[FromWorker] = []
        self._came = asyncio.Event()

    def send(self, message: FromWorker | ToWorker) -> None:
        self.sent.append(message)  # type: ignore[arg-type]
        self._came.set()

    @property
    def noted(self) -> list[Noted]:
        return [each for each in self.sent if isinstance(each, Noted)]

    def read(self) -> None:
        self.is_full = False
        self.on_room()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.noted) < count:
                self._came.clear()
                await self._came.wait()


class Turns:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def store_at(parent: Parent, stands: StoreStands = FINE, turns: Turns | None = None) -> RemoteStore:
    return RemoteStore(parent, stands, RecordingObserver(), turns or Turns())


@contextmanager
def waits_on(awaiting: "asyncio.Task[None]") -> Iterator[None]:
    assert not awaiting.done()
    yield
    assert not awaiting.done()


async def test_of_what_a_run_went_through_the_latest_is_sent() -> None:
    parent = Parent()
    store = store_at(parent)
    store.record(change(TaskState.READY, stage=Stage.RECEIVED))
    store.record(change(TaskState.RUNNING))
    store.record(change(TaskState.SUCCEEDED))
    store.record(change(TaskState.RUNNING))
    store.record(attempt())
    await parent.has(1)
    [noted] = parent.noted
    assert [each.state for each in noted.changes] == [TaskState.SUCCEEDED]
    assert len(noted.attempts) == 1


async def test_kept_is_what_the_parent_says_is() -> None:
    parent = Parent()
    store = store_at(parent)
    await store.kept()
    store.record(change(name="a"))
    first = asyncio.ensure_future(store.kept())
    await parent.has(1)
    store.record(change(name="b"))
    second = asyncio.ensure_future(store.kept())
    await parent.has(2)
    with waits_on(second):
        store.take(Kept(1))
        await asyncio.wait_for(first, 10)
    store.take(Kept(2))
    await asyncio.wait_for(second, 10)


async def test_a_parent_that_does_not_read_is_sent_nothing_more() -> None:
    parent = Parent()
    store = store_at(parent)
    parent.is_full = True
    for number in range(1000):
        store.record(change(TaskState.RUNNING if number % 2 else TaskState.READY, f"t{number % 5}"))
        if number % 100 == 0:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.01)
    assert parent.sent == []
    parent.read()
    [noted] = parent.noted
    assert len(noted.changes) == 5  # of each run one, however long it took


async def test_trouble_holds_work_up_and_is_told() -> None:
    parent, turns = Parent(), Turns()
    store = store_at(parent, turns=turns)
    store.take(BAD)
    assert (store.state().trouble, turns.count) == ("the disk is full", 1)
    waiting = asyncio.ensure_future(store.usable())
    await asyncio.sleep(0)
    assert not waiting.done()
    store.take(FINE)
    await asyncio.wait_for(waiting, 10)
    assert turns.count == 2


async def test_trouble_that_is_not_waited_for_holds_nothing_up() -> None:
    store = store_at(Parent(), StoreStands("sqlite", "the disk is full", waits=False))
    await asyncio.wait_for(store.usable(), 10)


async def test_without_a_parent_nothing_is_kept_and_nobody_answers() -> None:
    parent = Parent()
    store = store_at(parent)
    asked = asyncio.ensure_future(store.find("t"))
    await asyncio.sleep(0)
    assert isinstance(parent.sent[0], Ask)
    parent.lost.set()
    store.lose()
    with pytest.raises(StoreUnavailableError):
        await asked
    with pytest.raises(StoreUnavailableError):
        await store.find("t")
    assert store.state().trouble
    store.record(change())
    kept = asyncio.ensure_future(store.kept())
    await asyncio.sleep(0.01)
    assert not kept.done()
    kept.cancel()
