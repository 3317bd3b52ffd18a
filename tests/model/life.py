"""One life of a daemon's engine, from its start to its end or its death, and what it leaves."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from tests.fakes.observer import RecordingObserver
from tests.journey.world import World
from tests.model.virtual_time import LoopClock, VirtualLoop
from webhook_runner.broker.sqlite.batch import Batch, Written
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.queue_schema import prepare
from webhook_runner.errors import StoreUnavailableError
from webhook_runner.observe.fanout import Fanout
from webhook_runner.ports import Consumer, Delivery, Dispatcher
from webhook_runner.process.bell import Bell
from webhook_runner.settings import MEMORY, QueueSettings, StoreSettings
from webhook_runner.store.database import TroubleError
from webhook_runner.store.record_store import RecordStore
from webhook_runner.store.sqlite.place import writer
from webhook_runner.store.sqlite.state_file import StateFile
from webhook_runner.store.work import Work
from webhook_runner.store.work import Written as Stored

T = TypeVar("T")
SHUTDOWN_SECONDS = 30.0
HURRY_SECONDS = 2.0
DISORDER_SECONDS = 0.01


@dataclass(frozen=True)
class Plan:
    """What does not change from life to life. ``turns``: how long a commit takes."""

    store: Literal["none", "strict", "degraded"]
    counts: bool = True
    u: float = 0.0
    turns: int = 0
    queues: dict[str, QueueSettings] = field(default_factory=dict)
    max_total: int = 1000


@dataclass(frozen=True)
class Estate:
    """What a daemon leaves: the committed content of its files."""

    queue: sqlite3.Connection
    state: sqlite3.Connection | None


class FickleQueueFile(QueueFile):
    """A queue file in memory whose disk may be full."""

    full = False

    @classmethod
    def inherited(cls, before: sqlite3.Connection | None) -> "FickleQueueFile":
        database = copy_of(before)
        prepare(database, MEMORY)
        file = cls(database, MEMORY, None)
        file.take_over()
        return file

    def close(self) -> None:
        """Stay open: what it holds is looked at, and inherited."""

    def write(self, batch: Batch) -> Written:
        if self.full and batch.needs_room:
            raise full_disk()
        return super().write(batch)

    def probe(self) -> None:
        if self.full:
            raise full_disk()
        super().probe()


class FickleStateFile(StateFile):
    """A state file in memory that may fail, and begins with what was inherited."""

    def __init__(self, before: sqlite3.Connection | None) -> None:
        super().__init__(MEMORY)
        self._before = before or writer(MEMORY)
        self.fails = False

    @property
    def content(self) -> sqlite3.Connection:
        """What is committed; before it is open, what was left."""
        return self._database or self._before

    def open(self) -> None:
        super().open()
        assert self._database is not None
        self._before.backup(self._database)

    def close(self) -> None:
        """Stay open: what it holds is looked at, and inherited."""

    def write(self, work: Work) -> Stored:
        self._check()
        return super().write(work)

    def probe(self) -> None:
        self._check()
        super().probe()

    def find(self, task_id: str, run: int | None) -> Any:
        self._check()
        return super().find(task_id, run)

    def _check(self) -> None:
        if self.fails:
            raise TroubleError("it fails")


class Life:
    """A daemon at work, as the composition root puts it together; nothing of it runs elsewhere."""

    def __init__(
        self,
        loop: VirtualLoop,
        plan: Plan,
        dispatcher: Dispatcher,
        observer: RecordingObserver,
        ids: Iterator[int],
        before: Estate | None = None,
    ) -> None:
        self._loop = loop
        self._plan = plan
        clock = LoopClock(loop)
        self.bell = Bell()
        self.database = FickleStateFile(before.state if before else None)
        kept = StoreSettings(on_failure="degraded" if plan.store == "degraded" else "strict")
        told = Fanout(self.bell, observer)
        store = "none" if plan.store == "none" else RecordStore(self.database, kept, clock, told)
        self.world = world = World(
            plan.queues,
            counts=plan.counts,
            u=plan.u,
            store=store,
            clock=clock,
            observer=observer,
            default_queue="a",
            max_total=plan.max_total,
        )
        world.ids = ids  # type: ignore[assignment]
        world.executor._dispatcher = dispatcher
        self.file = FickleQueueFile.inherited(before.queue if before else None)
        self._slow_down(world)
        self.disorder = False
        self._held_back: list[tuple[Consumer, Delivery]] = []
        self._running: list[asyncio.Task[Any]] = []

    @property
    def state(self) -> sqlite3.Connection | None:
        """What the store has committed; None without one."""
        if self._plan.store == "none":
            return None
        return self.database.content

    @property
    def queue(self) -> sqlite3.Connection:
        """What the queue file has committed."""
        return self.file._database

    def begin(self) -> None:
        """Start every part."""
        world, engine = self.world, self.world.engine
        works = [
            world.broker.run(),
            world.store.run(),
            world.control.run(),
            self._follow(self.bell.store_turned, engine.heed_store),
            self._follow(engine.steering.turned, engine.heed_steering),
            self._consume(),
        ]
        self._running = self._loop.do(lambda: [asyncio.ensure_future(each) for each in works])

    def die(self) -> Estate:
        """End it as kill -9 does: what was not committed is gone."""
        estate = Estate(copy_of(self.queue), copy_of(self.state) if self.state else None)
        self._loop.kill_all()
        self._close()
        return estate

    def drain(self, limit: float = SHUTDOWN_SECONDS) -> None:
        """Stop as SIGTERM has it, in the order of the daemon."""
        self._loop.run_until_complete(self._drain(limit))

    def lose_connection(self) -> None:
        """Have what was handed over, and is not settled, handed over again."""
        self._loop.become_quiet()  # the stand-in knows of no commit that is under way
        if self.world.broker._inner._file is not None and not self.file.full:
            self._held_back.clear()  # what comes by a connection comes before its end, or never
            self._loop.do(self.world.broker.lose_connection)

    def deliver_twice(self, which: int) -> bytes | None:
        """Put a copy of a copy into the queue, as a repeated publish does; return its message."""
        self._loop.become_quiet()
        rows = self.queue.execute(
            "SELECT ready.id, queue, due, body FROM ready JOIN message USING (id) "
            "WHERE headers LIKE '%wr-gen%' ORDER BY ready.id"
        ).fetchall()
        if not rows or self.file.full:
            return None
        number, queue, due, body = rows[which % len(rows)]
        self.file._last_id = twin = self.file.last_id + 1
        self.file.scheduled += due > 0
        self.queue.execute(
            "INSERT INTO message SELECT ?, headers, body, properties FROM message WHERE id = ?",
            (twin, number),
        )
        self.queue.execute("INSERT INTO ready VALUES (?, ?, ?, 0)", (queue, due, twin))
        self._loop.do(lambda: self.world.broker._inner._dealer.has_more(queue, due))
        return bytes(body)

    def _receive(self, consumer: Consumer, delivery: Delivery) -> None:
        """Hand over in the order of the queue, or a little later in another one."""
        if not self.disorder and not self._held_back:
            self._hand_over(consumer, delivery)
            return
        self._held_back.append((consumer, delivery))
        if len(self._held_back) == 1:
            self._loop.call_later(DISORDER_SECONDS, self._hand_over_all)

    def _hand_over_all(self) -> None:
        held, self._held_back = self._held_back, []
        for each in reversed(held):
            self._hand_over(*each)

    async def _consume(self) -> None:
        await self.world.broker.writable()
        await self.world.engine.start()

    async def _drain(self, limit: float) -> None:
        world, late = self.world, asyncio.Event()
        world.intake.close("the daemon is stopping")
        deadline = self._loop.call_later(limit, late.set)
        await world.engine.drain(late)
        deadline.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit + 5):
                await world.intake.finish()
                await world.control.leave()
                await world.broker.drain()
        with suppress(TimeoutError, StoreUnavailableError):
            async with asyncio.timeout(HURRY_SECONDS):
                await world.store.close()

    async def _follow(self, asked: asyncio.Event, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asked.wait()
            asked.clear()
            await act()

    def _slow_down(self, world: World) -> None:
        """Let commits take some turns of the loop, as those of a thread do."""
        commits = world.broker._inner._commits

        async def opened(_: str) -> QueueFile:
            return self.file

        async def unhurried(work: Callable[[], T]) -> T:
            for _ in range(self._plan.turns):
                await asyncio.sleep(0)
            done = work()
            for _ in range(self._plan.turns):
                await asyncio.sleep(0)
            return done

        dealer = world.broker._inner._dealer
        self._hand_over, dealer._receive = dealer._receive, self._receive
        commits.open = opened  # type: ignore[method-assign,assignment]
        if self._plan.turns:
            commits._call = unhurried  # type: ignore[method-assign]
            if isinstance(world.store, RecordStore):
                world.store._ledger.call = unhurried  # type: ignore[method-assign]

    def _close(self) -> None:
        self.queue.close()
        if self.state is not None:
            self.state.close()


def copy_of(database: sqlite3.Connection | None) -> sqlite3.Connection:
    """Return a database in memory with the same content."""
    copy = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
    if database is not None:
        database.backup(copy)
    return copy


def full_disk() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    error.sqlite_errorname = "SQLITE_FULL"
    return error
