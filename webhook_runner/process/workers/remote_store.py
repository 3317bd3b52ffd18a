"""The port of the store in a worker: what is noted goes to the parent in batches."""

import asyncio
from asyncio import Event, Future
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec

from webhook_runner.errors import NoStoreError, StoreUnavailableError
from webhook_runner.ports import Observer, StoreState
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
    Kept,
    Latest,
    Noted,
    Question,
    StoreStands,
    Take,
    Tasks,
    ToWorker,
    Unanswered,
    encoded,
)
from webhook_runner.store.work import follows
from webhook_runner.task.event import Warned
from webhook_runner.task.record import (
    Attempt,
    Change,
    Claim,
    Entry,
    Holder,
    QueueCount,
    RollbackEnded,
    TaskPage,
    TaskQuery,
    TaskRecord,
)

T = TypeVar("T")
GATHER_SECONDS = 0.002
LAST_SECONDS = 5.0
_GONE = "the parent process is gone"
_ERRORS: dict[str, type[Exception]] = {"none": NoStoreError, "value": ValueError}


class RemoteStore:
    """See `webhook_runner.ports.Store`. ``on_turn`` is called when trouble begins or ends."""

    def __init__(
        self,
        line: Line[ToWorker],
        stands: StoreStands,
        observer: Observer,
        on_turn: Callable[[], None],
    ) -> None:
        self._line = line
        self._observer = observer
        self._on_turn = on_turn
        self._state = StoreState(stands.kind, stands.trouble, stands.waits)
        self._usable = Event()
        self._changes: dict[tuple[str, int], Change] = {}
        self._others: list[Attempt | RollbackEnded | tuple[str, int, bool]] = []
        self._kept = Event()
        self._under_way: deque[tuple[int, Event]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._batches = 0
        self._asked = 0
        self._answers: dict[int, Future[msgspec.Raw]] = {}
        line.on_room = self._flush
        self.take(stands)

    def take(self, message: StoreStands | Kept | Answer | Unanswered) -> None:
        """Take what the parent says."""
        match message:
            case StoreStands(kind, trouble, waits):
                self._turn(StoreState(kind, trouble, waits))
            case Kept(number):
                while self._under_way and self._under_way[0][0] <= number:
                    self._under_way.popleft()[1].set()
            case Answer(number, value):
                if (future := self._answers.get(number)) and not future.done():
                    future.set_result(value)
            case Unanswered(number, error, text):
                if (future := self._answers.get(number)) and not future.done():
                    future.set_exception(_ERRORS.get(error, StoreUnavailableError)(text))

    def lose(self) -> None:
        """Note that there is no parent any more: nothing can be kept, nobody answers."""
        if self._state.kind != "none":
            self._turn(StoreState(self._state.kind, _GONE))
        for future in self._answers.values():
            if not future.done():
                future.set_exception(StoreUnavailableError(_GONE))

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    def record(self, entry: Entry) -> None:
        if isinstance(entry, Change):
            key = entry.envelope.task.id, entry.envelope.run
            before = self._changes.get(key)
            if before is None or follows(entry, before):
                self._changes[key] = entry
        else:
            self._others.append(entry)
        self._gather()

    async def kept(self) -> None:
        if self._changes or self._others:
            await self._kept.wait()
        elif self._under_way:
            await self._under_way[-1][1].wait()
        else:
            await self.usable()

    async def usable(self) -> None:
        await self._usable.wait()

    def state(self) -> StoreState:
        return self._state

    async def advance(self, change: Change) -> bool:
        return await self._ask(Advance(change), bool)

    async def find(self, task_id: str, run: int | None = None) -> TaskRecord | None:
        return await self._ask(Find(task_id, run), _RECORD)

    async def latest(self, task_id: str, fingerprint: bytes) -> TaskRecord | None:
        return await self._ask(Latest(task_id, fingerprint), _RECORD)

    async def attempts(self, task_id: str, run: int) -> list[Attempt]:
        return await self._ask(Attempts(task_id, run), list[Attempt])

    async def tasks(self, query: TaskQuery) -> TaskPage:
        return await self._ask(Tasks(query), TaskPage)

    async def counts(self) -> list[QueueCount]:
        return await self._ask(Counts(), list[QueueCount])

    async def claim(self, claim: Claim) -> Holder:
        return await self._ask(Take(claim), Holder)

    async def keep_claim(self, key: str, run: int) -> None:
        self._others.append((key, run, True))
        self._gather()

    async def drop_claim(self, key: str, run: int) -> None:
        self._others.append((key, run, False))
        self._gather()

    async def export(self, before: float) -> AsyncIterator[dict[str, object]]:
        of = self._asked + 1
        while page := await self._ask(Export(of, before), list[dict[str, object]]):
            for line in page:
                yield line

    async def forget(self, before: float) -> int:
        return await self._ask(Forget(before), int)

    async def close(self) -> None:
        """Have what is left written, within ``LAST_SECONDS``. Raises TimeoutError."""
        self._flush()
        if self._under_way:
            async with asyncio.timeout(LAST_SECONDS):
                await self._under_way[-1][1].wait()

    def _turn(self, state: StoreState) -> None:
        changed, self._state = state != self._state, state
        if state.trouble and state.waits:
            self._usable.clear()
        else:
            self._usable.set()
        if changed:
            self._on_turn()

    async def _ask(self, question: Question, kind: type[T]) -> T:
        """Ask the parent, who knows all that was noted before."""
        if self._line.lost.is_set():
            raise StoreUnavailableError(_GONE)
        self._flush()
        self._asked += 1
        number = self._asked
        future: Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        self._line.send(Ask(number, question))
        try:
            return msgspec.msgpack.decode(await future, type=kind)
        finally:
            del self._answers[number]

    def _gather(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._due)

    def _due(self) -> None:
        self._timer = None
        if not self._line.is_full:  # else there is a flush when there is room
            self._flush()

    def _flush(self) -> None:
        if not (self._changes or self._others):
            return
        self._batches += 1
        others = self._others
        noted = Noted(
            self._batches,
            list(self._changes.values()),
            [each for each in others if isinstance(each, Attempt)],
            [each for each in others if isinstance(each, RollbackEnded)],
            [each for each in others if isinstance(each, tuple)],
        )
        try:
            self._line.send(noted)
        except OverflowError:
            self._line.send(self._without_misfits(noted))
        self._under_way.append((self._batches, self._kept))
        self._changes, self._others, self._kept = {}, [], Event()

    def _without_misfits(self, noted: Noted) -> Noted:
        """Give up what cannot be written, which must harm nothing else."""
        return Noted(
            noted.number,
            self._fitting(noted.changes),
            self._fitting(noted.attempts),
            self._fitting(noted.rollbacks),
            self._fitting(noted.claims),
        )

    def _fitting(self, notes: list[T]) -> list[T]:
        found: list[T] = []
        for each in notes:
            try:
                encoded(each)
            except OverflowError as error:
                text = f"an entry cannot be written to the store: {error}"
                self._observer.notice(Warned(text, text))
            else:
                found.append(each)
        return found


_RECORD: type[TaskRecord | None] = TaskRecord | None  # type: ignore[assignment]
