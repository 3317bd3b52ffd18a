"""The parent's side of the store of a worker: entries noted, questions answered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from webhook_runner.errors import NoStoreError, StoreUnavailableError
from webhook_runner.ports import Store
from webhook_runner.process.workers.line import Line
from webhook_runner.process.workers.wire import (
    Advance,
    Answer,
    Ask,
    Attempts,
    Counts,
    Export,
    Find,
    Forget,
    FromWorker,
    Kept,
    Latest,
    Noted,
    Question,
    StoreStands,
    Take,
    Tasks,
    Unanswered,
    encoded,
)
from webhook_runner.task.record import Entry

MOST_OPEN = 1000
"""With so many questions open, a worker is not read any further."""

PAGE = 200


class StoreDesk:
    """Serves one worker from the store of the daemon."""

    def __init__(self, store: Store, line: Line[FromWorker]) -> None:
        self._store = store
        self._line = line
        self._noted = 0
        self._kept = 0
        self._wanted = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._exports: dict[int, AsyncIterator[dict[str, object]]] = {}
        self._is_held = False
        self._finders: dict[type[Question], Callable[..., Awaitable[object]]] = {
            Find: lambda asked: store.find(asked.id, asked.run),
            Latest: lambda asked: store.latest(asked.id, asked.fingerprint),
            Attempts: lambda asked: store.attempts(asked.id, asked.run),
            Tasks: lambda asked: store.tasks(asked.query),
            Counts: lambda _: store.counts(),
            Advance: lambda asked: store.advance(asked.change),
            Take: lambda asked: store.claim(asked.claim),
            Forget: lambda asked: store.forget(asked.before),
            Export: lambda asked: self._page(asked.of, asked.before),
        }
        line.on_room = self._let_come

    async def run(self) -> None:
        """Say what is kept, until cancelled."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                number = self._noted
                await self._store.kept()
                self._kept = number
                self._line.send(Kept(number))
        finally:
            for each in self._open:
                each.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    def tell(self) -> None:
        """Tell the worker how the store stands."""
        self._line.send(stands(self._store))

    def note(self, noted: Noted) -> None:
        entries: tuple[Entry, ...] = (*noted.changes, *noted.attempts, *noted.rollbacks)
        for entry in entries:
            self._store.record(entry)
        for key, run, kept in noted.claims:
            note = self._store.keep_claim if kept else self._store.drop_claim
            self._begin(note(key, run))
        self._noted = noted.number
        self._wanted.set()

    def ask(self, ask: Ask) -> None:
        self._begin(self._answer(ask))
        if (len(self._open) >= MOST_OPEN or self._line.is_full) and not self._is_held:
            self._is_held = True
            self._line.hold()

    async def _answer(self, ask: Ask) -> None:
        number = ask.number
        try:
            value = await self._finders[type(ask.question)](ask.question)
        except NoStoreError as error:
            self._line.send(Unanswered(number, "none", str(error)))
        except ValueError as error:
            self._line.send(Unanswered(number, "value", str(error)))
        except StoreUnavailableError as error:
            self._line.send(Unanswered(number, "unavailable", str(error)))
        except Exception as error:  # noqa: BLE001 - who asks must not wait for ever
            self._line.send(Unanswered(number, "unavailable", repr(error)))
        else:
            self._line.send(Answer(number, msgspec.Raw(encoded(value))))

    async def _page(self, of: int, before: float) -> list[dict[str, object]]:
        lines = self._exports.setdefault(of, self._store.export(before))
        page: list[dict[str, object]] = []
        async for line in lines:
            page.append(line)
            if len(page) == PAGE:
                return page
        if not page:
            del self._exports[of]
        return page

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._open.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        self._let_come()

    def _let_come(self) -> None:
        if self._is_held and len(self._open) < MOST_OPEN and not self._line.is_full:
            self._is_held = False
            self._line.go_on()


def stands(store: Store) -> StoreStands:
    state = store.state()
    return StoreStands(state.kind, state.trouble, state.waits)
