"""The port of the store over a database: entries through the ledger, questions beside it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from webhook_runner.errors import StoreError, StoreUnavailableError
from webhook_runner.ports import Clock, Observer, StoreState
from webhook_runner.settings import StoreSettings
from webhook_runner.store.database import Database, TroubleError
from webhook_runner.store.export import line_of
from webhook_runner.store.ledger import Ledger
from webhook_runner.store.text import plain
from webhook_runner.store.work import DropClaim, KeepClaim
from webhook_runner.task.record import (
    Attempt,
    Change,
    Claim,
    Entry,
    Holder,
    QueueCount,
    TaskPage,
    TaskQuery,
    TaskRecord,
)

T = TypeVar("T")
READERS = 2
QUESTION_SECONDS = 35.0
DAY = 86_400.0
SWEEP_SECONDS = 60.0
# What is quick is done in the event loop: seldom.
QUICK_SWEEP_SECONDS = 3600.0
SWEEP_PAUSE = 0.1
SWEEP_RUNS = 500
EXPORT_RUNS = 200


class RecordStore:
    """See `webhook_runner.ports.Store`."""

    def __init__(
        self, database: Database, settings: StoreSettings, clock: Clock, observer: Observer
    ) -> None:
        self._database = database
        self._retention = settings.retention_days * DAY
        self._sweep_seconds = SWEEP_SECONDS if database.threaded else QUICK_SWEEP_SECONDS
        self._clock = clock
        waits = settings.on_failure == "strict"
        self._ledger = Ledger(database, clock, observer, waits=waits, payloads=settings.payloads)
        self._readers = ThreadPoolExecutor(READERS, "store-reader") if database.threaded else None

    async def run(self) -> None:
        """Write, and forget what is old, until cancelled; then write what is left.

        Raises:
            StoreError: it cannot be used: damaged, another daemon's, of a newer version.

        """
        self._ledger.begin()
        works: list[asyncio.Future[None]] = [
            asyncio.ensure_future(self._ledger.run()),
            asyncio.ensure_future(self._sweep_on()),
        ]
        try:
            ended, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.result()
        finally:
            for each in works:
                each.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    def record(self, entry: Entry) -> None:
        self._ledger.note(entry)

    async def kept(self) -> None:
        await self._ledger.kept()

    async def usable(self) -> None:
        await self._ledger.usable()

    def state(self) -> StoreState:
        return StoreState(self._database.kind, self._ledger.trouble, self._ledger.waits)

    async def advance(self, change: Change) -> bool:
        return bool(await self._ledger.ask(change))

    async def find(self, task_id: str, run: int | None = None) -> TaskRecord | None:
        return await self._question(lambda: self._database.find(plain(task_id), run))

    async def latest(self, task_id: str, fingerprint: bytes) -> TaskRecord | None:
        return await self._question(lambda: self._database.latest(plain(task_id), fingerprint))

    async def attempts(self, task_id: str, run: int) -> list[Attempt]:
        return await self._question(lambda: self._database.attempts(plain(task_id), run))

    async def tasks(self, query: TaskQuery) -> TaskPage:
        return await self._question(lambda: self._database.tasks(query))

    async def counts(self) -> list[QueueCount]:
        return await self._question(self._database.counts)

    async def claim(self, claim: Claim) -> Holder:
        holder = await self._ledger.ask(claim)
        if not isinstance(holder, Holder):
            raise TypeError(holder)
        return holder

    async def keep_claim(self, key: str, run: int) -> None:
        self._ledger.note(KeepClaim(key, run))

    async def drop_claim(self, key: str, run: int) -> None:
        self._ledger.note(DropClaim(key, run))

    async def export(self, before: float) -> AsyncIterator[dict[str, object]]:
        """Go through the runs that ended before a time (epoch seconds), in that order."""
        last: TaskRecord | None = None
        while records := await self._question(partial(self._finished, before, last)):
            for record, attempts in records:
                yield line_of(record, attempts)
            last = records[-1][0]

    async def forget(self, before: float) -> int:
        """Delete the runs that ended before a time (epoch seconds); how many that were."""
        await self._ledger.flushed()
        count = 0
        try:
            while deleted := await self._sweep(before):
                count += deleted
        except TroubleError as trouble:
            raise StoreUnavailableError(str(trouble)) from trouble
        return count

    async def close(self) -> None:
        self._database.hang_up()
        if self._readers is not None:
            await asyncio.to_thread(self._readers.shutdown)
        await self._ledger.close()

    def _finished(
        self, before: float, last: TaskRecord | None
    ) -> list[tuple[TaskRecord, list[Attempt]]]:
        found = self._database.finished(before, last, EXPORT_RUNS)
        return [(each, self._database.attempts(each.id, each.run)) for each in found]

    async def _question(self, ask: Callable[[], T]) -> T:
        await self._ledger.flushed()
        try:
            if self._readers is None:
                return ask()
            asked = asyncio.get_running_loop().run_in_executor(self._readers, ask)
            return await asyncio.wait_for(asked, QUESTION_SECONDS)
        except TimeoutError as error:
            raise StoreUnavailableError("the store does not answer") from error
        except (TroubleError, StoreError) as error:
            self._ledger.look()
            raise StoreUnavailableError(str(error)) from error

    async def _sweep_on(self) -> None:
        """Forget what is older than it is to be kept, a little at a time."""
        while True:
            await self._clock.sleep(self._sweep_seconds)
            try:
                while await self._sweep(self._clock.now() - self._retention):
                    await self._clock.sleep(SWEEP_PAUSE)
            except TroubleError:
                self._ledger.look()

    async def _sweep(self, before: float) -> int:
        now = self._clock.now()
        return await self._ledger.call(lambda: self._database.sweep(before, now, SWEEP_RUNS))
