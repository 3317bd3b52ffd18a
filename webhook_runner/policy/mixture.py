"""Whether a queue has had tasks for more than one destination lately."""

import math

LATELY = 600.0
"""Seconds for which a queue remembers a destination."""

Host = tuple[str, int]


class Mixture:
    """Told of each task's destination, and of the time in seconds."""

    __slots__ = ("_last", "_last_at", "_other_at")

    def __init__(self) -> None:
        self._last: Host | None = None
        self._last_at = -math.inf
        self._other_at = -math.inf

    def note(self, host: Host, now: float) -> bool:
        """Take note of a task; tell whether the queue is mixed."""
        if host != self._last:
            # Whatever came before was for others; the latest of that was just now the last one.
            self._other_at, self._last = self._last_at, host
        self._last_at = now
        return now - self._other_at <= LATELY

    def is_mixed(self, now: float) -> bool:
        return now - self._other_at <= LATELY


def share_of(concurrency: int, per_host: int, *, mixed: bool) -> int:
    """Return how many requests of a queue one destination may have at one time.

    ``per_host`` is the operator's number; with 0 it is half, once there are others to starve.
    """
    if per_host:
        return per_host
    return max(1, concurrency // 2) if mixed else concurrency
