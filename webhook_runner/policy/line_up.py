"""Who was sent away comes back in a line, so many a second: no crowd at one moment, no hot loop."""

import math
from collections import deque

STEP = 0.1
"""Those of one step (seconds) come back together."""

MOST_SECONDS = 4096
"""The counts of so many seconds are kept."""


class LineUp:
    """Gives times at which to come back; times are seconds of any one clock."""

    __slots__ = ("_tail", "_waiting")

    def __init__(self) -> None:
        self._tail = -math.inf
        self._waiting: deque[tuple[int, int]] = deque(maxlen=MOST_SECONDS)

    def place(self, earliest: float, per_second: float) -> float:
        """Return when the next one comes back: at ``earliest``, or behind those before it."""
        self._tail = max(self._tail + 1 / per_second, earliest)
        steps = math.floor((self._tail - earliest) / STEP + 1e-6)
        self._note(self._tail)
        return earliest + steps * STEP

    def waiting(self, now: float) -> int:
        """Count those whose time has not come yet, to within a second."""
        while self._waiting and self._waiting[0][0] < now - 1:
            self._waiting.popleft()
        return sum(count for second, count in self._waiting if second >= now - 1)

    def is_over(self, now: float) -> bool:
        """Tell whether everybody has come back."""
        return self._tail <= now

    def _note(self, tail: float) -> None:
        second = math.floor(tail)
        if self._waiting and self._waiting[-1][0] >= second:
            last, count = self._waiting.pop()
            self._waiting.append((last, count + 1))
        else:
            self._waiting.append((second, 1))
