"""How many retries a task has, from its own wish and the cap of its queue."""

from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, Kind


def retries_allowed(max_retries: int | None, queue: QueueSettings) -> int | None:
    """Return how many retries may follow the first attempt, or None for any number.

    ``max_retries`` None or -1 leaves it to the queue; a finite ``retry_limit`` caps it. With
    ``max_retries_counts = "attempts"`` the limit means requests in all, and one is always made.
    """
    limit = _smaller(max_retries, queue.retry_limit)
    if limit is None or queue.max_retries_counts == "retries":
        return limit
    return max(limit - 1, 0)


def retries_of(envelope: Envelope, queue: QueueSettings) -> int | None:
    """Return the same for a task on its way: a roll-back has ``rollback_retry_limit`` instead."""
    if envelope.kind is Kind.ROLLBACK:
        return _smaller(None, queue.rollback_retry_limit)
    return retries_allowed(envelope.task.max_retries, queue)


def _smaller(wish: int | None, cap: int) -> int | None:
    if wish is None or wish < 0:
        return cap if cap >= 0 else None
    return wish if cap < 0 else min(wish, cap)
