"""How many retries a task is allowed: its own wish, capped by its queue."""

from webhook_runner.settings import QueueSettings


def retries_allowed(max_retries: int | None, queue: QueueSettings) -> int | None:
    """Return the number of retries after the first attempt, or None for ever."""
    counted = [n for n in (max_retries, queue.retry_limit) if n is not None and n >= 0]
    if not counted:
        return None
    allowed = min(counted)
    return max(allowed - 1, 0) if queue.max_retries_counts == "attempts" else allowed
