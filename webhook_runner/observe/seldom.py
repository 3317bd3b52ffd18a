"""News of one kind at most once a minute, with a count of what was left out."""

from collections.abc import Callable, Hashable

EVERY_SECONDS = 60.0
_MOST_REMEMBERED = 10_000


class Seldom:
    """Says of each piece of news whether to tell it; ``monotonic`` tells seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._told: dict[Hashable, tuple[float, int]] = {}

    def suppressed(self, key: Hashable) -> int | None:
        """Return how many like this one were left out before it; None: leave it out too."""
        now = self._monotonic()
        told_at, suppressed = self._told.get(key, (float("-inf"), 0))
        if now - told_at < EVERY_SECONDS:
            self._told[key] = (told_at, suppressed + 1)
            return None
        if len(self._told) >= _MOST_REMEMBERED:
            self._told.clear()
        self._told[key] = (now, 0)
        return suppressed
