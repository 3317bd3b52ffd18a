"""What the store knows of a message that comes again: its outcome is not asked for twice."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec.structs import replace

from webhook_runner.engine.inflight import REMEMBERED, SETTLED
from webhook_runner.engine.lineage import SAME_CRASH
from webhook_runner.errors import StoreUnavailableError
from webhook_runner.policy.admission import HOLD
from webhook_runner.policy.verdict import Cancel, Drop, Revoked, Verdict
from webhook_runner.ports import Clock, Delivery, Store
from webhook_runner.task.codec import BACKLOG_SECONDS
from webhook_runner.task.model import Envelope
from webhook_runner.task.record import TaskRecord, gen_of
from webhook_runner.task.state import TaskState

ASK_AGAIN_SECONDS = 1.0
_FINEST = 0.001  # a store may keep times by the millisecond, and nothing is ever early


class Redeliveries:
    """Asks the store about what the broker hands over again; nothing else is asked about.

    A publisher's message has no run in it: the latest run of its id with its content, that
    began as one crash would explain, is taken for its own. Each run is taken over once, for two
    equal messages may be two tasks.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._knows = store.state().kind != "none"
        self._taken: OrderedDict[tuple[str, int], None] = OrderedDict()

    async def recall(
        self, delivery: Delivery, envelope: Envelope
    ) -> tuple[Envelope, Verdict | None]:
        """Return the envelope, as the run it belongs to, and what is left to do if it is past."""
        if not self._knows or not (envelope.turn or envelope.again):
            return envelope, None
        if envelope.gen:
            record = await self.find(envelope.task.id, envelope.run)
            return envelope, SETTLED if record and is_past(record, envelope) else None
        record = await self._latest(envelope) if envelope.named else None
        if record is None or not self._may_be(record, delivery, envelope):
            return envelope, None
        self._take(record)
        return taken_over(envelope, record), SETTLED if is_past(record, envelope) else None

    def forget(self, envelope: Envelope) -> None:
        """Let a run be taken over again whose delivery was given back."""
        if not envelope.gen:
            self._taken.pop((envelope.task.id, envelope.run), None)

    async def unless_told(self, envelope: Envelope, verdict: Cancel) -> Cancel | Drop:
        """Return how to settle what was cancelled: who knew its end before has told of it."""
        if not self._knows or verdict.rollback is not None:
            return verdict
        record = await self.find(envelope.task.id, envelope.run)
        return Drop(Revoked.CANCELLED) if record and _was_called_off(record) else verdict

    async def find(self, task_id: str, run: int | None = None) -> TaskRecord | None:
        """Return what is known of a run; None too when the store is in trouble not waited for."""
        return await self._asked(lambda: self._store.find(task_id, run))

    async def _latest(self, envelope: Envelope) -> TaskRecord | None:
        name, content = envelope.task.id, envelope.task.fingerprint
        return await self._asked(lambda: self._store.latest(name, content))

    async def _asked(
        self, question: Callable[[], Awaitable[TaskRecord | None]]
    ) -> TaskRecord | None:
        while True:
            await self._store.usable()
            with suppress(StoreUnavailableError):
                return await question()
            if not self._store.state().waits:
                return None
            await self._clock.sleep(ASK_AGAIN_SECONDS)

    def _may_be(self, record: TaskRecord, delivery: Delivery, envelope: Envelope) -> bool:
        published = delivery.message.timestamp
        return (
            not record.origin
            and 0 <= envelope.run - record.run < SAME_CRASH
            and (published is None or published - BACKLOG_SECONDS <= record.created_at)
            and (record.id, record.run) not in self._taken
        )

    def _take(self, record: TaskRecord) -> None:
        self._taken[record.id, record.run] = None
        if len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)


def is_past(record: TaskRecord, envelope: Envelope) -> bool:
    """Whether the run has ended, or went on to a copy later than this one."""
    has_ended = record.state.is_final and not _was_called_off(record)
    return has_ended or gen_of(record.seq) > envelope.gen


def _was_called_off(record: TaskRecord) -> bool:
    """Whether it was cancelled: then a copy is settled as that, with its roll-back."""
    return record.state is TaskState.CANCELLED and record.reason == Revoked.CANCELLED


def taken_over(envelope: Envelope, record: TaskRecord) -> Envelope:
    """Return a publisher's message as the run that it began at its first receipt.

    What had to wait then may have been parked without a word of it: it goes on as that first copy,
    so that the two are known for one.
    """
    had_to_wait = record.due_at - record.created_at > HOLD
    return replace(
        envelope,
        run=record.run,
        named=envelope.named and not had_to_wait,
        first_at=record.created_at,
        due_at=min(envelope.due_at, record.due_at + _FINEST),
    )
