"""May this attempt start now? Crash loop, expiry, age, identity, due time, paused destination."""

from msgspec import Struct
from msgspec.structs import replace

from webhook_runner.policy.retry import fail, revoke
from webhook_runner.policy.verdict import (
    Admission,
    Cancel,
    Drop,
    Errand,
    Expire,
    Fail,
    Forward,
    Postpone,
    Proceed,
    Revoked,
    Why,
)
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, Failure, Kind

HOLD = 1.25
"""Seconds a delivery that merely waits may stay in the process (the wheel's finest reach)."""

HANDED_HOLD = 10.0
"""The same for a delivery that another daemon's clock called due (clocks that far apart)."""

ALONE_WAIT = 60.0
"""Seconds before a suspect of crashing processes runs alone; doubles each time."""

ALONE_DEATHS = 3

ALONE_TURN = 10.0
"""Seconds between the turns of suspects that came together: a death must be blamed on one."""

ALONE_PAUSE = 1.0
"""Seconds a suspect waits before it runs, so that others which came with it are sent away."""


class Arrival(Struct, frozen=True):
    """How an envelope came: on which queue, and how often before without an outcome.

    ``paused_until`` is when its destination takes requests again, as far as that is known (epoch
    seconds, 0: now), and ``paused_by`` why it does not; ``revoked`` that it is not to be carried
    out at all.
    """

    queue: str
    redeliveries: int = 0
    counted: bool = True
    paused_until: float = 0.0
    paused_by: Why = Why.DESTINATION_PAUSED
    revoked: Revoked | None = None


def admit(envelope: Envelope, arrival: Arrival, queue: QueueSettings, now: float) -> Admission:
    """Return ``Proceed``, or what happens instead of the attempt."""
    return (
        _revoked(envelope, arrival, queue, now)
        or _misrouted(envelope, arrival)
        or _crash_loop(envelope, arrival, queue, now)
        or _too_late(envelope, arrival, queue, now)
        or _unnamed(envelope, now)
        or _too_early(envelope, arrival, now)
        or Proceed()
    )


def wait_turn(envelope: Envelope, now: float, others: int) -> Postpone:
    """Send a suspect away that came while ``others`` are in hand; it is charged with nothing."""
    until = now + ALONE_TURN * others
    later = replace(_next(envelope), deaths=0, due_at=until)
    return Postpone(later, until, Why.SUSPECT)


def send_away(envelope: Envelope, until: float, why: Why) -> Postpone:
    """Have a task come back later, for the sake of its destination; it is charged with nothing.

    It comes back at its expiry if that is earlier, to be ended in time.
    """
    expires = None if envelope.kind is Kind.ROLLBACK else envelope.task.expires
    if expires is not None:
        until = min(until, expires)
    return Postpone(replace(_next(envelope), due_at=until), until, why)


def _revoked(
    envelope: Envelope, arrival: Arrival, queue: QueueSettings, now: float
) -> Cancel | Drop | None:
    if arrival.revoked is None:
        return None
    return revoke(envelope, arrival.revoked, envelope.attempt - 1, queue, now)


def _misrouted(envelope: Envelope, arrival: Arrival) -> Forward | None:
    if envelope.task.queue == arrival.queue:
        return None
    return Forward(_next(envelope), Errand.ROUTED)


def _crash_loop(
    envelope: Envelope, arrival: Arrival, queue: QueueSettings, now: float
) -> Admission | None:
    if not arrival.redeliveries and not envelope.deaths:
        return None
    if not arrival.counted and arrival.redeliveries:
        # A classic queue keeps no count: the next copy carries it.
        counted = replace(_next(envelope), deaths=envelope.deaths + 1, doubtful=True)
        return Forward(counted, Errand.COUNTED)
    deaths = arrival.redeliveries + envelope.deaths
    if deaths <= (0 if envelope.alone else queue.max_redeliveries):
        return None
    if envelope.alone >= ALONE_DEATHS:
        return _end(envelope, "crash_loop", queue, now)
    until = now + ALONE_WAIT * 2**envelope.alone
    suspect = replace(
        _next(envelope), alone=envelope.alone + 1, deaths=0, due_at=until, doubtful=True
    )
    return Postpone(suspect, until, Why.SUSPECT)


def _too_late(
    envelope: Envelope, arrival: Arrival, queue: QueueSettings, now: float
) -> Fail | Expire | None:
    if envelope.kind is Kind.ROLLBACK:
        return None  # undoing knows no deadline
    expires = envelope.task.expires
    if expires is not None and max(now, envelope.due_at, arrival.paused_until) >= expires:
        return _end(envelope, "expired", queue, now)
    if queue.max_task_age and now - envelope.first_at >= queue.max_task_age:
        return _end(envelope, "max_age", queue, now)
    return None


def _unnamed(envelope: Envelope, now: float) -> Forward | None:
    """Give a task its id in the broker before its first request: a redelivery must carry it."""
    if envelope.named or envelope.due_at - now > HOLD:
        return None
    return Forward(_next(envelope), Errand.NAMED)


def _too_early(envelope: Envelope, arrival: Arrival, now: float) -> Postpone | None:
    if now < envelope.due_at:
        return Postpone(_next(envelope), envelope.due_at, Why.NOT_DUE)
    if now < arrival.paused_until:
        return send_away(envelope, arrival.paused_until, arrival.paused_by)
    return None


def _end(envelope: Envelope, reason: str, queue: QueueSettings, now: float) -> Fail | Expire:
    failure = Failure(
        reason=reason,
        attempts=envelope.attempt - 1,
        last_status=envelope.last_status,
        last_error=envelope.last_error,
    )
    return fail(envelope, failure, None, queue, now)


def _next(envelope: Envelope) -> Envelope:
    """Return the next copy, of the same attempt; from now on the message carries its id."""
    return replace(envelope, gen=envelope.gen + 1, named=True)
