"""Calling a task now that waits for its time, once, by whomever it is asked for."""

from webhook_runner.engine.fellows import Fellows
from webhook_runner.engine.holdings import Said
from webhook_runner.engine.intake import Intake
from webhook_runner.engine.revival import Revival, source_of
from webhook_runner.engine.revocations import supersession
from webhook_runner.errors import ConflictError
from webhook_runner.policy.verdict import Errand
from webhook_runner.ports import Clock, Observer, Store
from webhook_runner.task.event import TaskForwarded
from webhook_runner.task.model import Envelope
from webhook_runner.task.record import Claim, TaskRecord, gen_of
from webhook_runner.task.state import TaskState

SOON = 2.0
"""A task that is due within so many seconds is not called any earlier."""

CLAIM_SECONDS = 60.0


class Hurry:
    """Publishes the next copy of a task, due now, and then revokes the one that waits.

    In that order, so that a crash in between can lead to one request too many, and never to none.
    """

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

    async def call(self, record: TaskRecord) -> bool:
        """Call a task now; False when it is due in a moment by itself.

        Raises:
            ConflictError: it does not wait, somebody has it in hand, or its message is not kept.
            BrokerUnavailableError: it is not known to be kept.
            StoreUnavailableError: nobody can tell.

        """
        _check_waits(record)
        if record.due_at - self._clock.now() <= SOON:
            return False
        envelope = self._revival.hurried(record)
        key = f"hurry {record.id} {record.run} {envelope.gen}"
        await self._claim(key, envelope)
        try:
            await self._check_waits_still(record)
            await self._intake.keep(envelope)
        except BaseException:
            await self._store.drop_claim(key, record.run)
            raise
        self._observer.notice(TaskForwarded(envelope, Errand.HURRIED))
        now, gen = self._clock.now(), gen_of(record.seq)
        await self._fellows.post([supersession(record.id, record.run, gen, now)])
        return True

    async def _claim(self, key: str, envelope: Envelope) -> None:
        """See to it that nobody else calls it at the same time. Raises ConflictError."""
        now = self._clock.now()
        claim = Claim(
            key,
            envelope.task.id,
            envelope.run,
            envelope.task.fingerprint,
            now,
            now + CLAIM_SECONDS,
        )
        if not (await self._store.claim(claim)).is_new:
            raise ConflictError(f"task {envelope.task.id} was called a moment ago")

    async def _check_waits_still(self, record: TaskRecord) -> None:
        """Raise ConflictError when somebody has it, or may have."""
        said = (await self._fellows.ask([record.id]))[record.id]
        if said is Said.UNSURE:
            raise ConflictError(f"not every daemon has said that task {record.id} only waits")
        after = await self._store.find(record.id)
        if said is not Said.ABSENT or after is None or after.seq != record.seq:
            raise ConflictError(f"task {record.id} is in hand, and no longer only waits")


def _check_waits(record: TaskRecord) -> None:
    if record.state is not TaskState.SCHEDULED:
        text = f"task {record.id} is {record.state}; only one that is scheduled can be called"
        raise ConflictError(text)
    if not gen_of(record.seq):
        raise ConflictError(f"task {record.id} is in hand, and due in a moment")
    source_of(record)
