"""What an outcome leads to: the table from (outcome, attempts, limits) to a verdict."""

from msgspec.structs import replace

from webhook_runner.policy.answer import (
    PAUSES_DESTINATION,
    is_final,
    is_success,
    retry_after,
    retry_order,
)
from webhook_runner.policy.backoff import LEAST, backoff, fixed_schedule, sidekiq, standard
from webhook_runner.policy.follow import rollback, summary
from webhook_runner.policy.verdict import (
    Cancel,
    Complete,
    Drop,
    Expire,
    Fail,
    Postpone,
    Release,
    Retry,
    Revoked,
    Verdict,
    Why,
)
from webhook_runner.settings import QueueSettings
from webhook_runner.task.limit import retries_of
from webhook_runner.task.model import Envelope, Failure, Kind
from webhook_runner.task.outcome import (
    Interrupted,
    Outcome,
    Refused,
    Responded,
    TimedOut,
    Unreachable,
)


def decide(
    envelope: Envelope, outcome: Outcome, queue: QueueSettings, now: float, u: float
) -> Verdict:
    """Return what happens after an attempt of ``envelope`` met with ``outcome``.

    ``now`` is when the outcome was known (epoch seconds), ``u`` in [0, 1) the dice of the jitter.
    """
    match outcome:
        case Responded() if is_success(outcome, queue):
            return Complete(outcome.status)
        case Responded():
            return _after_answer(_told(envelope, outcome), outcome, queue, now, u)
        case TimedOut() | Unreachable():
            return _after_failure(_told(envelope, outcome), outcome, queue, now, u)
        case Refused():
            return _fail(_told(envelope, outcome), "non_retryable", outcome, queue, now)
        case Interrupted():
            return Release()


def destination_pause(outcome: Outcome, queue: QueueSettings, now: float) -> float:
    """Seconds that every task for this destination shall wait: 429 or 503 with a Retry-After."""
    if isinstance(outcome, Responded) and outcome.status in PAUSES_DESTINATION:
        return retry_after(outcome, queue, now)
    return 0.0


def fail(
    envelope: Envelope, failure: Failure, outcome: Outcome | None, queue: QueueSettings, now: float
) -> Fail | Expire:
    """Return the end of a task: with its roll-back and the summary for the dead letter."""
    told = summary(envelope, failure, outcome)
    undo = rollback(envelope, failure, told, queue, now)
    if failure.reason == "expired":
        return Expire(failure, undo, told)
    return Fail(failure, undo, told)


def revoke(
    envelope: Envelope, why: Revoked, attempts: int, queue: QueueSettings, now: float
) -> Cancel | Drop:
    """Return what becomes of a revoked copy of which ``attempts`` were started."""
    if why is Revoked.SUPERSEDED:
        return Drop(why.value)
    failure = Failure(
        reason=why.value,
        attempts=attempts,
        last_status=envelope.last_status,
        last_error=envelope.last_error,
    )
    return Cancel(rollback(envelope, failure, summary(envelope, failure, None), queue, now))


def unless_cancelled(
    verdict: Verdict,
    envelope: Envelope,
    why: Revoked,
    queue: QueueSettings,
    now: float,
    *,
    sent: bool,
) -> Verdict:
    """Return the end of a task that was cancelled meanwhile, whatever else was to happen.

    A success stays one. What follows a superseded copy is not superseded. ``sent``: an attempt
    of this copy was started.
    """
    if why is Revoked.SUPERSEDED or isinstance(verdict, Complete | Cancel | Drop):
        return verdict
    return revoke(envelope, why, envelope.attempt if sent else envelope.attempt - 1, queue, now)


def wait_before(retry: int, queue: QueueSettings, u: float) -> float:
    """Seconds before retry number ``retry`` by the policy of the queue."""
    if queue.schedule:
        return fixed_schedule(retry, schedule=queue.schedule, jitter=queue.jitter, u=u)
    if queue.backoff == "sidekiq":
        return sidekiq(retry, u=u)
    if queue.backoff == "standard":
        return standard(retry, jitter=queue.jitter, u=u)
    return backoff(
        retry,
        minimum=queue.min_backoff_seconds,
        maximum=queue.max_backoff_seconds,
        doublings=queue.max_doublings,
        jitter=queue.jitter,
        u=u,
    )


def _after_answer(
    envelope: Envelope, outcome: Responded, queue: QueueSettings, now: float, u: float
) -> Verdict:
    order = retry_order(outcome.headers)
    if order.never:
        return _fail(envelope, "stopped", outcome, queue, now)
    if order.snooze is not None and envelope.snoozes < queue.max_snoozes:
        until = now + min(order.snooze, queue.retry_after_max)
        snoozed = replace(_again(envelope, until), snoozes=envelope.snoozes + 1)
        return _in_time(Postpone(snoozed, until, Why.SNOOZED), envelope, outcome, queue, now)
    if order.after is None and is_final(outcome.status, queue):
        return _fail(envelope, "non_retryable", outcome, queue, now)
    return _after_failure(envelope, outcome, queue, now, u, asked=order.after)


def _after_failure(
    envelope: Envelope,
    outcome: Responded | TimedOut | Unreachable,
    queue: QueueSettings,
    now: float,
    u: float,
    asked: float | None = None,
) -> Verdict:
    counts = queue.count_transport_errors or not isinstance(outcome, Unreachable)
    if counts and _used_up(envelope, queue):
        return _fail(envelope, "retries_exhausted", outcome, queue, now)
    delay = wait_before(envelope.attempt + envelope.uncounted, queue, u)
    if asked is not None:
        delay = max(LEAST, min(asked, queue.retry_after_max))
    elif isinstance(outcome, Responded):
        delay = max(delay, retry_after(outcome, queue, now))
    again = _again(envelope, now + delay)
    again = (
        replace(again, attempt=envelope.attempt + 1)
        if counts
        else replace(again, uncounted=envelope.uncounted + 1)
    )
    retry = Retry(again, delay, envelope.last_error or str(envelope.last_status))
    return _in_time(retry, envelope, outcome, queue, now)


def _used_up(envelope: Envelope, queue: QueueSettings) -> bool:
    allowed = retries_of(envelope, queue)
    return allowed is not None and envelope.attempt > allowed


def _in_time(
    verdict: Retry | Postpone,
    envelope: Envelope,
    outcome: Outcome,
    queue: QueueSettings,
    now: float,
) -> Verdict:
    """End the task now when its next attempt would come too late: its undoing is then early."""
    if envelope.kind is Kind.ROLLBACK:
        return verdict  # undoing knows no deadline
    due, expires = verdict.next.due_at, envelope.task.expires
    if expires is not None and due >= expires:
        return _fail(envelope, "expired", outcome, queue, now, "expires_before_retry")
    if queue.max_task_age and due - envelope.first_at >= queue.max_task_age:
        return _fail(envelope, "max_age", outcome, queue, now)
    return verdict


def _fail(
    envelope: Envelope,
    reason: str,
    outcome: Outcome,
    queue: QueueSettings,
    now: float,
    detail: str = "",
) -> Fail | Expire:
    failure = Failure(
        reason=reason,
        attempts=envelope.attempt,
        detail=detail,
        last_status=envelope.last_status,
        last_error=envelope.last_error,
    )
    return fail(envelope, failure, outcome, queue, now)


def _told(envelope: Envelope, outcome: Responded | TimedOut | Unreachable | Refused) -> Envelope:
    """Return the envelope with what this attempt met, so that the next copy carries it."""
    doubtful = envelope.doubtful  # until the endpoint answers
    match outcome:
        case Responded(status=status):
            return replace(envelope, last_status=status, last_error="", doubtful=False)
        case TimedOut(sent=sent):
            return replace(
                envelope, last_status=None, last_error="timeout", doubtful=doubtful or sent
            )
        case Unreachable(trouble=trouble, sent=sent):
            error = trouble.value
            return replace(envelope, last_status=None, last_error=error, doubtful=doubtful or sent)
        case Refused(rule=rule):
            return replace(envelope, last_status=None, last_error=rule, doubtful=False)


def _again(envelope: Envelope, due_at: float) -> Envelope:
    """Return the next copy: an outcome is known, so the count of deaths starts anew."""
    return replace(envelope, gen=envelope.gen + 1, due_at=due_at, named=True, deaths=0, alone=0)
