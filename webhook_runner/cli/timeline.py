"""The life of one failing task, played by the daemon's own decisions under a clock of our own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from msgspec.structs import replace

from webhook_runner.policy.retry import decide
from webhook_runner.policy.verdict import Complete, Expire, Fail, Postpone, Retry
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, RollBack, Task
from webhook_runner.task.outcome import Outcome, Responded, TimedOut, Trouble, Unreachable

OUTCOMES = ("timeout", *(trouble.value for trouble in Trouble if trouble != Trouble.TIMEOUT))
"""Words for an attempt without a status, beside the statuses themselves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated. Times are epoch seconds; the last outcome repeats."""

    queue: QueueSettings
    outcomes: Sequence[str]
    start: float
    max_retries: int | None = None
    expires: float | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt: when it started, what it met, what follows. ``wait`` is None at the end."""

    attempt: int
    at: float
    outcome: str
    verdict: str
    wait: float | None = None


def outcome_of(word: str, plan: Plan) -> Outcome:
    """Return the outcome a word stands for.

    Raises:
        ValueError: it is neither a status nor one of OUTCOMES.

    """
    if word.isdecimal() and 100 <= int(word) <= 599:  # noqa: PLR2004 - the statuses of HTTP
        wait = {} if plan.retry_after is None else {"retry-after": f"{plan.retry_after:g}"}
        return Responded(int(word), wait)
    if word not in OUTCOMES:
        raise ValueError(f"{word!r} is no status from 100 to 599 and none of {', '.join(OUTCOMES)}")
    if word == "timeout":
        return TimedOut(plan.queue.timeout)
    return Unreachable(Trouble(word), seconds=_seconds(word, plan.queue))


def timeline(plan: Plan, dice: Callable[[], float]) -> Iterator[Step]:
    """Yield the attempts of a task that is due at once, for as long as it lives."""
    task = Task(
        id="simulated",
        queue="simulated",
        url="/",
        source=b"{}",
        max_retries=plan.max_retries,
        expires=plan.expires,
        roll_back=RollBack("/"),
    )
    envelope = Envelope(task, first_at=plan.start, due_at=plan.start)
    for word in chain(plan.outcomes, repeat(plan.outcomes[-1])):
        now = envelope.due_at
        known = now + _seconds(word, plan.queue)
        begun = replace(envelope, first_attempt_at=plan.start, last_attempt_at=now)
        verdict = decide(begun, outcome_of(word, plan), plan.queue, known, dice())
        number = envelope.attempt + envelope.uncounted + envelope.snoozes
        match verdict:
            case Retry(next=following) | Postpone(next=following):
                yield Step(number, now, word, "retry", following.due_at - known)
                envelope = following
            case Complete():
                yield Step(number, now, word, "succeeded")
                return
            case Fail(failure=failure, rollback=undo) | Expire(failure=failure, rollback=undo):
                reason = failure.detail or failure.reason
                end = "expired" if isinstance(verdict, Expire) else "failed"
                called = ", then roll_back" if undo else ""
                yield Step(number, now, word, f"{end} ({reason}){called}")
                return
            case _:
                return


def _seconds(word: str, queue: QueueSettings) -> float:
    """Return how long an attempt takes: only a timeout is slow."""
    if word == "timeout":
        return queue.timeout
    return min(queue.connect_timeout, queue.timeout) if word == Trouble.CONNECT_TIMEOUT else 0.0
