"""What the store is told of a task: every event of its way becomes an entry."""

from collections.abc import Callable

from webhook_runner.ports import Clock, Store
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RetryScheduled,
    TaskAccepted,
    TaskCancelled,
    TaskDropped,
    TaskFailed,
    TaskForwarded,
    TaskReceived,
    TaskReleased,
    TaskScheduled,
    TaskSucceeded,
)
from webhook_runner.task.model import Envelope, Kind
from webhook_runner.task.outcome import (
    Interrupted,
    Outcome,
    Refused,
    Responded,
    TimedOut,
    Unreachable,
)
from webhook_runner.task.record import (
    KEPT_BODY_BYTES,
    Attempt,
    Change,
    Entry,
    RollbackEnded,
    RollbackState,
    Stage,
    sequence,
)
from webhook_runner.task.state import TaskState

Note = Callable[[Event], Entry | None]


class Journal:
    """Notes in the store what happens to tasks. Implements ports.Observer.

    Every event is looked up by its class: most of a daemon's events pass here, and each task has
    several of them.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._record = store.record
        self._now = clock.now
        self._notes: dict[type[Event], Callable[..., Entry | None]] = {
            TaskAccepted: self._accepted,
            TaskReceived: self._received,
            TaskScheduled: self._scheduled,
            TaskForwarded: self._forwarded,
            AttemptStarted: self._started,
            AttemptFinished: _attempt,
            RetryScheduled: self._retried,
            TaskSucceeded: self._succeeded,
            TaskFailed: self._failed,
            TaskCancelled: self._cancelled,
            TaskReleased: self._released,
            TaskDropped: self._dropped,
        }

    def notice(self, event: Event) -> None:
        note = self._notes.get(type(event))
        if note is not None:
            entry = note(event)
            if entry is not None:
                self._record(entry)

    def _accepted(self, event: TaskAccepted) -> Change:
        waits = event.envelope.due_at > self._now()
        state = TaskState.SCHEDULED if waits else TaskState.READY
        return self._placed(event.envelope, state)

    def _received(self, event: TaskReceived) -> Change | None:
        envelope = event.envelope
        if not envelope.named or event.superfluous:
            return None  # the next reading of this message would give it another id, or run
        return self._change(envelope, TaskState.READY, Stage.RECEIVED)

    def _scheduled(self, event: TaskScheduled) -> Change:
        return self._placed(event.envelope, TaskState.SCHEDULED, event.why)

    def _retried(self, event: RetryScheduled) -> Change:
        return self._placed(event.envelope, TaskState.SCHEDULED, event.reason)

    def _forwarded(self, event: TaskForwarded) -> Change:
        return self._placed(event.envelope, TaskState.READY)

    def _started(self, event: AttemptStarted) -> Change:
        return started(event.envelope, self._now())

    def _released(self, event: TaskReleased) -> Change | None:
        if not event.envelope.named:
            return None
        return self._change(event.envelope, TaskState.READY, Stage.GIVEN_BACK)

    def _succeeded(self, event: TaskSucceeded) -> Change:
        envelope = event.envelope
        self._undone(envelope, RollbackState.DELIVERED)
        return Change(
            envelope,
            TaskState.SUCCEEDED,
            sequence(envelope.gen, envelope.turn, Stage.ENDED),
            self._now(),
            status=event.status,
        )

    def _failed(self, event: TaskFailed) -> Change:
        envelope, failure = event.envelope, event.failure
        self._undone(envelope, RollbackState.FAILED)
        return Change(
            envelope,
            TaskState.EXPIRED if event.expired else TaskState.FAILED,
            sequence(envelope.gen, envelope.turn, Stage.ENDED),
            self._now(),
            failure.reason,
            failure.last_status,
            failure.last_error,
            RollbackState.PENDING if event.rolled_back else None,
        )

    def _cancelled(self, event: TaskCancelled) -> Change:
        envelope = event.envelope
        self._undone(envelope, RollbackState.FAILED)
        return Change(
            envelope,
            TaskState.CANCELLED,
            sequence(envelope.gen, envelope.turn, Stage.ENDED),
            self._now(),
            "cancelled",
            envelope.last_status,
            envelope.last_error,
            RollbackState.PENDING if event.rolled_back else None,
        )

    def _dropped(self, event: TaskDropped) -> Change | None:
        """Note the end of a line of its own, and of a duplicate with a name of its own."""
        envelope, of = event.envelope, event.of
        begun = event.reason == "superfluous" and envelope.gen
        if begun or (of and of != envelope.task.id):
            return self._change(envelope, TaskState.CANCELLED, Stage.ENDED, event.reason)
        return None

    def _undone(self, envelope: Envelope, state: RollbackState) -> None:
        if envelope.kind is Kind.ROLLBACK:
            self._record(RollbackEnded(envelope.origin, envelope.run, state))

    def _placed(self, envelope: Envelope, state: TaskState, reason: str = "") -> Change:
        """Note the next copy: nobody has been handed it, whatever was known of the one before."""
        seq = sequence(envelope.gen, 0, Stage.PLACED)
        return Change(
            envelope, state, seq, self._now(), reason, envelope.last_status, envelope.last_error
        )

    def _change(
        self, envelope: Envelope, state: TaskState, stage: Stage, reason: str = ""
    ) -> Change:
        return Change(
            envelope,
            state,
            sequence(envelope.gen, envelope.turn, stage),
            self._now(),
            reason,
            envelope.last_status,
            envelope.last_error,
        )


def started(envelope: Envelope, now: float) -> Change:
    """Return what is noted when an attempt begins."""
    return Change(
        envelope,
        TaskState.RUNNING,
        sequence(envelope.gen, envelope.turn, Stage.STARTED),
        now,
        "",
        envelope.last_status,
        envelope.last_error,
    )


def _attempt(event: AttemptFinished) -> Attempt:
    envelope, outcome = event.envelope, event.outcome
    began = envelope.last_attempt_at or envelope.due_at
    word, error, detail = _told(outcome)
    seq = sequence(envelope.gen, envelope.turn, Stage.STARTED)
    name = (envelope.task.id, envelope.run, seq, envelope.attempt, began, began + event.seconds)
    if not isinstance(outcome, Responded):
        return Attempt(*name, word, None, error, detail)
    body, truncated = outcome.body[:KEPT_BODY_BYTES], outcome.truncated
    return Attempt(*name, word, outcome.status, error, detail, outcome.headers, body, truncated)


def _told(outcome: Outcome) -> tuple[str, str, str]:
    """Return the word for an outcome, the public word for what went wrong, and more of that."""
    match outcome:
        case Responded(note=note):
            return "responded", "", note
        case TimedOut():
            return "timed_out", "timeout", ""
        case Unreachable(trouble=trouble, detail=detail):
            return "unreachable", trouble.value, detail
        case Refused(rule=rule, detail=detail):
            return "refused", rule, detail
        case Interrupted():
            return "interrupted", "", ""
