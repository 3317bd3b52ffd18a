"""Group commit: what is noted while a batch is written goes into the next one."""

import asyncio
from asyncio import Event, Future
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from webhook_runner.errors import StoreError, StoreUnavailableError
from webhook_runner.ports import Clock, Observer
from webhook_runner.store.database import Database, TroubleError
from webhook_runner.store.work import Answer, Ask, Noted, Written, work_of
from webhook_runner.task.event import StoreFailed, StoreMended, Warned

T = TypeVar("T")
PAUSE = 0.01
"""Seconds between the starts of two batches, so that a batch is worth its commit."""

PATIENCE = 60.0
"""Seconds that a batch may take; ``LAST_PATIENCE`` when the daemon ends."""

LAST_PATIENCE = 10.0
RETRY_SECONDS = 1.0
MOST_NOTED = 100_000
MOST_AT_ONCE = 5_000
_CLOSED = "the store is closed"


class Batch:
    """What will be written together. ``kept``: it is, or nobody waits; ``tried``: or was not."""

    def __init__(self) -> None:
        self.noted: list[Noted] = []
        self.asks: list[tuple[Ask, Future[Answer]]] = []
        self.kept = [Event()]
        self.tried = Event()

    def let_go(self) -> None:
        """Wake who waits for it to be kept."""
        for each in self.kept:
            each.set()
        self.kept = [Event()]

    def fail(self) -> None:
        """Wake who waits for it to be tried."""
        self.tried.set()
        self.tried = Event()

    def refuse(self, why: str) -> None:
        """Give up the asks, whose askers are told why."""
        for _, answer in self.asks:
            if not answer.done():
                answer.set_exception(StoreUnavailableError(why))
        self.asks.clear()


class Ledger:
    """Writes to a database in a thread of its own, or in the event loop when that is quick."""

    def __init__(
        self, database: Database, clock: Clock, observer: Observer, *, waits: bool, payloads: bool
    ) -> None:
        self._database = database
        self._clock = clock
        self._observer = observer
        self._payloads = payloads
        self._pool = ThreadPoolExecutor(1, "store") if database.threaded else None
        self._next = Batch()
        self._at_work: Batch | None = None
        self._writing: asyncio.Task[None] | None = None
        self._wanted = Event()
        self._works = Event()
        self._opening: Event | None = None
        self._is_open = False
        self._is_closed = False
        self._wait = RETRY_SECONDS
        self._lost = 0
        self.waits = waits
        self.trouble = ""

    def note(self, entry: Noted) -> None:
        """Put an entry into the next batch."""
        noted = self._next.noted
        noted.append(entry)
        if len(noted) == 1:
            self._wanted.set()
        elif self.trouble and not self.waits:
            self._bound()

    def look(self) -> None:
        """See whether something can be written: a question had no answer."""
        self._wanted.set()

    async def ask(self, ask: Ask) -> Answer:
        """Have something written that has an answer. Raises StoreUnavailableError."""
        if self.trouble:
            raise StoreUnavailableError(self.trouble)
        answer: Future[Answer] = asyncio.get_running_loop().create_future()
        self._next.asks.append((ask, answer))
        self._wanted.set()
        found = await answer
        if isinstance(found, Exception):
            raise found
        return found

    async def kept(self) -> None:
        """Wait until what was noted so far is written; in trouble as ``waits`` says."""
        if self.trouble and not self.waits:
            return
        if self._next.noted:
            await self._next.kept[0].wait()
        elif self._at_work is not None:
            await self._at_work.kept[0].wait()
        elif self.trouble:
            await self._works.wait()

    async def usable(self) -> None:
        """Wait until it is open and without trouble, if that is to be waited for."""
        if self.waits:
            await self._works.wait()

    async def flushed(self) -> None:
        """Wait until questions see what was noted. Raises StoreUnavailableError."""
        if self._opening is not None:
            await self._opening.wait()
        batch = self._next if self._next.noted else self._at_work
        if batch is not None and not self.trouble:
            await batch.tried.wait()
        if self.trouble:
            raise StoreUnavailableError(self.trouble)

    def begin(self) -> None:
        """From now on questions wait until it is open."""
        self._opening = Event()

    async def run(self) -> None:
        """Write until cancelled, then what is left; once begun. Raises StoreError."""
        try:
            await self._open()
            await self._write_on()
        finally:
            self._opened()
            await self._leave()

    async def call(self, work: Callable[[], T]) -> T:
        """Do something where the database is written. Raises TroubleError and StoreError."""
        if self._pool is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Write what is left, and close; again to no effect."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._leave()
        await self.call(self._database.close)
        self._is_open = False
        self.trouble = _CLOSED
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    async def _open(self) -> None:
        while not self._is_open:
            try:
                await self.call(self._database.open)
            except TroubleError as trouble:
                self._meet(str(trouble))
                await self._rest()
            else:
                self._is_open = True
                self._mend()
                self._opened()

    def _opened(self) -> None:
        if self._opening is not None:
            self._opening.set()

    async def _write_on(self) -> None:
        began = -PAUSE
        loop = asyncio.get_running_loop()
        while True:
            if self.trouble:
                await self._rest()
            else:
                await self._wanted.wait()
                if self._pool is not None and (wait := began + PAUSE - loop.time()) > 0:
                    await asyncio.sleep(wait)
            began = loop.time()
            # A batch is not torn by a cancellation: its entries are written, or noted again.
            self._writing = asyncio.ensure_future(self._write_next())
            await self._written(PATIENCE)

    async def _write_next(self) -> None:
        self._wanted.clear()
        batch, self._next = self._next, Batch()
        self._at_work = batch
        try:
            written = await self.call(lambda: self._write(batch))
        except TroubleError as trouble:
            self._put_back(batch, str(trouble))
        except StoreError as error:
            self._put_back(batch, str(error))
            raise
        else:
            self._settle(batch, written)
        finally:
            self._at_work = None
            batch.tried.set()

    def _write(self, batch: Batch) -> Written:
        asks = [ask for ask, _ in batch.asks]
        noted = batch.noted
        refused: tuple[str, ...] = ()
        if not (noted or asks):
            self._database.probe()
        # After trouble there may be more than one statement should have.
        while len(noted) > MOST_AT_ONCE:
            first, noted = noted[:MOST_AT_ONCE], noted[MOST_AT_ONCE:]
            work = work_of(first, (), payloads=self._payloads)
            refused += self._database.write(work).refused
        written = self._database.write(work_of(noted, asks, payloads=self._payloads))
        return Written(written.answers, refused + written.refused)

    def _settle(self, batch: Batch, written: Written) -> None:
        self._mend()
        batch.let_go()
        for (_, answer), found in zip(batch.asks, written.answers, strict=True):
            if not answer.done():
                answer.set_result(found)
        for text in written.refused:
            self._observer.notice(Warned(text, text))

    def _put_back(self, batch: Batch, trouble: str) -> None:
        """Note everything again, before what was noted meanwhile."""
        batch.refuse(trouble)
        self._meet(trouble)
        self._next.noted = batch.noted + self._next.noted
        self._next.kept += batch.kept
        if not self.waits:
            self._next.let_go()
            self._bound()

    def _bound(self) -> None:
        if (excess := len(self._next.noted) - MOST_NOTED) > 0:
            del self._next.noted[:excess]
            self._lost += excess

    def _meet(self, trouble: str) -> None:
        self._works.clear()
        if trouble != self.trouble:
            self.trouble = trouble
            self._observer.notice(StoreFailed(trouble, self.waits))
        self._opened()
        self._next.refuse(trouble)
        self._next.fail()
        if not self.waits:
            self._next.let_go()

    def _mend(self) -> None:
        self._works.set()
        self._wait = RETRY_SECONDS
        if self.trouble:
            self.trouble = ""
            self._observer.notice(StoreMended(self._lost))
            self._lost = 0

    async def _rest(self) -> None:
        await self._clock.sleep(self._wait)
        self._wait = min(self._wait * 2, self._database.longest_wait)

    async def _leave(self) -> None:
        """Let a batch under way end, and write what is left, if it can be."""
        with suppress(StoreError):  # it was raised before
            await self._written(LAST_PATIENCE)
            if self._is_open and (self._next.noted or self._next.asks):
                self._writing = asyncio.ensure_future(self._write_next())
                await self._written(LAST_PATIENCE)
        self._writing = None
        self._next.refuse(_CLOSED)

    async def _written(self, patience: float) -> None:
        """Wait for the batch under way, but not for ever. Raises StoreError."""
        if self._writing is None:
            return
        while not (await asyncio.wait([self._writing], timeout=patience))[0]:
            self._database.hang_up()
        await self._writing
