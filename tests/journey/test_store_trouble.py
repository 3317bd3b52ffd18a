"""A store that takes nothing: "strict", everything waits for it; "degraded", nothing does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from tests.contract.store_rig import change
from tests.fakes.broker import RecordingBroker
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dispatcher import Hang, ScriptedDispatcher
from tests.fakes.observer import RecordingObserver
from tests.journey.conftest import StartWorld
from tests.journey.test_duplicates import body, handed_in
from tests.journey.world import BASE, World, at_work
from webhook_runner.api.health import Readiness
from webhook_runner.engine.queues import Queues
from webhook_runner.errors import StoreUnavailableError
from webhook_runner.ports import Store
from webhook_runner.process.readiness import readiness
from webhook_runner.settings import QueueSettings, Settings, StoreSettings
from webhook_runner.store.database import TroubleError
from webhook_runner.store.open_store import make_store
from webhook_runner.task.event import StoreFailed
from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Responded

MEMORY = "sqlite::memory:"
DEGRADED = {"on_failure": "degraded"}


@contextmanager
def full(store: Store) -> Iterator[None]:
    """Let the database of a store take nothing, as a full disk does."""
    database: Any = store._database  # type: ignore[attr-defined]

    def refuse(*_: object) -> None:
        raise TroubleError("the disk is full")

    database.write = database.probe = database.find = refuse
    yield
    del database.write, database.probe, database.find


async def met(world: World) -> None:
    """Let the store notice its trouble, by a task that is none of the test's."""
    world.send({"id": "first", "url": "/first", "countdown": 9999})
    await world.settle()
    assert world.observer.all(StoreFailed) != []


async def test_an_outcome_is_not_acknowledged_before_it_can_be_written(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    hang = Hang()
    world.dispatcher.will(hang)
    world.send({"id": "t1", "url": "/x"})
    await world.settle()
    with full(world.store):
        hang.answer()
        await world.at(30)
        assert world.broker.log == []
        assert world.broker.unsettled == 1
    await world.at(100)
    record = await world.store.find("t1")
    assert record is not None
    assert (record.state, len(world.dispatcher.sent)) == ("succeeded", 1)
    assert world.is_idle()


async def test_no_attempt_starts_before_it_can_be_written(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    with full(world.store):
        await met(world)
        world.send({"id": "t1", "url": "/x"})
        await world.at(50)
        assert world.dispatcher.sent == []
    await world.at(120)
    assert world.dispatcher.urls == ["http://app.test/x"]


async def test_degraded_everything_goes_on_but_what_is_known(start: StartWorld) -> None:
    world = await start(store=MEMORY, whole=DEGRADED, dedup=True, min_backoff_seconds=1, jitter=0)
    world.dispatcher.will(Responded(500))
    with full(world.store):
        await met(world)
        world.send({"id": "t1", "url": "/x"})
        await world.at(20)
        assert len(world.dispatcher.sent) == 2
        (taken,) = await handed_in(world, body(id="t2"))
        assert isinstance(taken, Envelope)
        world.broker.lose_connection()
        await world.settle()
        assert len(world.dispatcher.sent) == 3
    await world.at(120)
    assert [each.last_status for each in (await world.store.find("t1"),) if each] == [200]


async def test_a_redelivery_of_degraded_days_is_run_without_asking(start: StartWorld) -> None:
    world = await start(store=MEMORY, whole=DEGRADED)
    world.dispatcher.will(Hang())
    world.send({"id": "t1", "url": "/x"})
    await world.settle()
    with full(world.store):
        await met(world)
        after = await start(store=world.store, whole=DEGRADED, consuming=False)
        after.broker.inherit(world.broker)
        await after.consumer.start()
        await after.settle()
        assert len(after.dispatcher.sent) == 1


async def test_strict_nothing_is_taken_by_request(start: StartWorld) -> None:
    world = await start(store=MEMORY)
    with full(world.store):
        await met(world)
        for task in (body(id="t1"), body()):
            with pytest.raises(StoreUnavailableError, match="the disk is full"):
                await world.intake.accept(task)
    await world.at(120)
    await world.intake.accept(body(id="t1"))


class Daemon:
    """All queues of a daemon over one store; it says how ready it is."""

    def __init__(self, on_failure: Literal["strict", "degraded"]) -> None:
        self.clock, self.observer = FakeClock(), RecordingObserver()
        settings = Settings(
            base_url=BASE, queues={"a": QueueSettings()}, store=StoreSettings(on_failure=on_failure)
        )
        self.store = make_store(MEMORY, settings.store, self.clock, self.observer)
        self.broker = RecordingBroker(self.clock, self.observer, recorded=True)
        self.queues = Queues(
            settings,
            self.broker,
            self.store,
            ScriptedDispatcher(),
            self.observer,
            self.clock,
            lambda: 0.0,
            lambda: "made",
        )

    def readiness(self) -> Readiness:
        broker, store = self.broker.state(), self.store.state()
        return readiness(broker, store, self.queues, draining=False)

    async def turns(self) -> Readiness:
        """Let the queues follow the store."""
        await settle()
        await self.queues.heed_store()
        return self.readiness()


@contextmanager
def failing(daemon: Daemon) -> Iterator[None]:
    with full(daemon.store):
        daemon.store.record(change())
        yield


async def test_queues_are_not_consumed_while_the_store_is_waited_for() -> None:
    daemon = Daemon("strict")
    async with at_work(daemon.broker, daemon.store):
        await daemon.queues.start()
        with failing(daemon):
            found = await daemon.turns()
            assert not found.ready
            assert found.parts["store"] == "the disk is full"
            assert found.parts["queue a"] == "store"
            assert daemon.broker.state().consuming == set()
        await daemon.clock.advance(60)
        found = await daemon.turns()
        assert (found.ready, found.parts) == (True, {"broker": "ok", "queue a": "ok"})


async def test_the_pause_of_an_operator_outlasts_the_trouble_and_the_other_way_round() -> None:
    daemon = Daemon("strict")
    async with at_work(daemon.broker, daemon.store):
        await daemon.queues.start()
        with failing(daemon):
            await daemon.turns()
            await daemon.queues.pause()
            assert daemon.readiness().parts["queue a"] == "paused"
        await daemon.clock.advance(60)
        assert (await daemon.turns()).parts["queue a"] == "paused"
        with failing(daemon):
            await daemon.turns()
            await daemon.queues.resume()
            assert daemon.readiness().parts["queue a"] == "store"
            assert daemon.broker.state().consuming == set()
        await daemon.clock.advance(60)
        assert (await daemon.turns()).ready


async def test_degraded_a_daemon_is_ready_whatever_the_store_does() -> None:
    daemon = Daemon("degraded")
    async with at_work(daemon.broker, daemon.store):
        await daemon.queues.start()
        with failing(daemon):
            assert (await daemon.turns()).ready
