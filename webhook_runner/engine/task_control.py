"""What a person may ask and do of a task: find, cancel, call earlier, run again."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

from webhook_runner.engine.fellows import Fellows
from webhook_runner.engine.holdings import Said
from webhook_runner.engine.hurry import Hurry
from webhook_runner.engine.intake import Intake
from webhook_runner.engine.revival import Revival
from webhook_runner.engine.revocations import cancellations
from webhook_runner.errors import (
    ConflictError,
    NoStoreError,
    StoreUnavailableError,
    UnknownTaskError,
)
from webhook_runner.policy.verdict import Revoked
from webhook_runner.ports import Clock, Observer, Store
from webhook_runner.task.event import TaskAccepted, TaskCancelled
from webhook_runner.task.model import Envelope, Task
from webhook_runner.task.progress import is_id
from webhook_runner.task.record import (
    Attempt,
    Change,
    Stage,
    TaskPage,
    TaskQuery,
    TaskRecord,
    gen_of,
    sequence,
)
from webhook_runner.task.state import TaskState

BATCH = 1000
"""So many tasks are asked about at once."""

_AT_ONCE = 50  # so many questions to the store

T = TypeVar("T")


class CancelState(StrEnum):
    """``CANCELLED``: no request of it will start, and none is under way.

    ``REQUESTED``: it will be dropped wherever it is found, but may be under way, or unknown.
    """

    CANCELLED = "cancelled"
    REQUESTED = "cancel_requested"


Cancelled = CancelState | Exception


class TaskControl:
    """Tasks by their id. Whatever needs a store raises NoStoreError without one."""

    def __init__(
        self,
        store: Store,
        fellows: Fellows,
        intake: Intake,
        revival: Revival,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._store = store
        self._fellows = fellows
        self._intake = intake
        self._revival = revival
        self._observer = observer
        self._clock = clock
        self._hurry = Hurry(store, fellows, intake, revival, observer, clock)
        self._has_store = store.state().kind != "none"

    async def find(self, task_id: str, run: int | None = None) -> TaskRecord:
        """Return a run of a task, the latest if none is named.

        Raises:
            UnknownTaskError: there is none.
            NoStoreError, StoreUnavailableError: nobody can tell.

        """
        self._need_store()
        record = await self._store.find(task_id, run)
        if record is None:
            of_run = f" of run {run}" if run is not None else ""
            raise UnknownTaskError(f"no task {task_id}{of_run} is known")
        return record

    async def attempts(self, task_id: str, run: int | None = None) -> list[Attempt]:
        """Return the attempts of a run, in their order. Raises as ``find`` does."""
        record = await self.find(task_id, run)
        return await self._store.attempts(task_id, record.run)

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """List runs, youngest first.

        Raises:
            ValueError: the cursor is none.
            NoStoreError, StoreUnavailableError: nobody can tell.

        """
        self._need_store()
        return await self._store.tasks(query)

    async def cancel(self, task_id: str, *, force: bool = False) -> CancelState:
        """Call a task off, and say how far that is certain; again is the same as once.

        ``force`` leaves word of it even when the store does not know such a task (yet).

        Raises:
            ConflictError: it has ended; says how.
            UnknownTaskError: the store does not know it.
            BrokerUnavailableError: the word is not known to be kept.
            StoreUnavailableError: nobody can tell whether it is known.

        """
        answer = (await self.cancel_many([task_id], force=force))[task_id]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def cancel_many(
        self, task_ids: Iterable[str], *, force: bool = False
    ) -> dict[str, Cancelled]:
        """Do the same for many; each has its own answer.

        Raises:
            BrokerUnavailableError: no word is known to be kept for those not answered.
            StoreUnavailableError: nobody can tell which are known.

        """
        ids = list(dict.fromkeys(task_ids))
        answers: dict[str, Cancelled] = {}
        for start in range(0, len(ids), BATCH):
            answers |= await self._cancel_batch(ids[start : start + BATCH], force=force)
        return answers

    async def run_now(self, task_id: str) -> TaskRecord:
        """Call a task now that waits for its time; return what is known of it then.

        The copy that waits is revoked only when another one is kept, so that a crash in between
        can lead to one request too many, and never to none.

        Raises:
            ConflictError: it does not wait, somebody has it in hand, or its message is not kept.
            UnknownTaskError: the store does not know it.
            BrokerUnavailableError: it is not known to be kept.
            NoStoreError, StoreUnavailableError: nobody can tell.

        """
        record = await self.find(task_id)
        if await self._hurry.call(record):
            await self._store.kept()
        return await self.find(task_id)

    async def replay(self, task_id: str) -> Envelope:
        """Run a task again that has ended, as a new run of its id; return its first copy.

        Raises:
            ConflictError: it has not ended, or its message is not kept.
            InvalidTaskError: it is no task any more by the rules of today.
            UnknownTaskError: the store does not know it.
            BrokerUnavailableError: it is not known to be kept.
            NoStoreError, StoreUnavailableError: nobody can tell.

        """
        record = await self.find(task_id)
        if not record.state.is_final:
            raise ConflictError(f"task {task_id} is {record.state}; it has not ended")
        envelope = self._revival.of_record(record)
        await self._intake.keep(envelope)
        self._observer.notice(TaskAccepted(envelope))
        return envelope

    async def _cancel_batch(self, ids: Sequence[str], *, force: bool) -> dict[str, Cancelled]:
        records = await self._look_up(ids)
        answers = {name: self._answer_at_once(name, records[name], force=force) for name in ids}
        open_ids = [name for name, answer in answers.items() if answer is None]
        runs = [(name, _run_of(records[name])) for name in open_ids]
        if runs:
            await self._fellows.post(cancellations(runs, self._clock.now()))
            said = await self._fellows.ask(open_ids)
            ends = (self._conclude(name, records[name], said[name]) for name in open_ids)
            answers.update(zip(open_ids, await _some_at_once(ends), strict=True))
        return {name: answer for name, answer in answers.items() if answer is not None}

    async def _look_up(self, ids: Sequence[str]) -> dict[str, TaskRecord | None]:
        if not self._has_store:
            return dict.fromkeys(ids)
        found = await _some_at_once(self._store.find(name) for name in ids)
        return dict(zip(ids, found, strict=True))

    def _answer_at_once(
        self, name: str, record: TaskRecord | None, *, force: bool
    ) -> Cancelled | None:
        """Return the answer for what there is nothing to do about."""
        if record is None:
            if is_id(name) and (force or not self._has_store):
                return None
            return UnknownTaskError(f"no task {name:.100} is known")
        if record.state is TaskState.CANCELLED:
            return None  # an earlier task of its id may not have ended
        return _has_ended(record) if record.state.is_final else None

    async def _conclude(self, name: str, record: TaskRecord | None, said: Said) -> Cancelled:
        match said:
            case Said.SUCCEEDED | Said.FAILED | Said.EXPIRED:
                return ConflictError(f"task {name} has {_how(said.name.lower())} meanwhile")
            case Said.RUNNING | Said.UNSURE:
                return CancelState.REQUESTED
            case Said.CANCELLED | Said.ABSENT if record is not None:
                return await self._end(record, found=said is Said.CANCELLED)
            case Said.CANCELLED:
                return CancelState.CANCELLED
            case Said.ABSENT:
                return CancelState.REQUESTED  # nobody can tell whether there is such a task

    async def _end(self, record: TaskRecord, *, found: bool) -> Cancelled:
        """Note the end of a task that nobody will carry out, unless it has ended otherwise."""
        seq = sequence(gen_of(record.seq), 0, Stage.ENDED)
        envelope = _envelope_of(record)
        change = Change(
            envelope,
            TaskState.CANCELLED,
            seq,
            self._clock.now(),
            Revoked.CANCELLED,
            record.last_status,
            record.last_error,
        )
        try:
            if await self._store.advance(change):
                self._observer.notice(TaskCancelled(envelope))
                return CancelState.CANCELLED
            after = await self._store.find(record.id, record.run)
        except StoreUnavailableError:
            return CancelState.CANCELLED if found else CancelState.REQUESTED
        if after is None or after.state is TaskState.CANCELLED:
            return CancelState.CANCELLED
        return _has_ended(after) if after.state.is_final else CancelState.REQUESTED

    def _need_store(self) -> None:
        if not self._has_store:
            raise NoStoreError("what became of tasks is kept in a store: set [store] url")


def _run_of(record: TaskRecord | None) -> int:
    return 0 if record is None else record.run


def _has_ended(record: TaskRecord) -> ConflictError:
    return ConflictError(f"task {record.id} has {_how(record.state.value)}")


def _how(state: str) -> str:
    return state if state != "cancelled" else "been cancelled"


def _envelope_of(record: TaskRecord) -> Envelope:
    """Return as much of the last known copy as its end needs."""
    return Envelope(
        Task(record.id, record.queue, record.url, record.source or b"", method=record.method),
        first_at=record.created_at,
        due_at=record.due_at,
        kind=record.kind,
        run=record.run,
        attempt=record.attempt + 1,
        gen=gen_of(record.seq),
        first_attempt_at=record.started_at,
        origin=record.origin,
        last_status=record.last_status,
        last_error=record.last_error,
    )


async def _some_at_once(works: Iterable[Awaitable[T]]) -> list[T]:
    """Await them all, a limited number at once; return what they do, in their order."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(work: Awaitable[T]) -> T:
        async with turns:
            return await work

    return await asyncio.gather(*(one(work) for work in works))
