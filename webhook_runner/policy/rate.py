"""So many per second: a token bucket that is told the time, and the prefetch a rate allows."""

import math

PREFETCH_LEAST = 50
PREFETCH_MOST = 2_000
PREFETCH_HORIZON_SECONDS = 60.0
STALE_SECONDS = 1.0
"""A reading of the clock this far behind the latest one is an old reading, not a new time."""


def default_bucket(rate: float) -> float:
    """Size a bucket for ``rate`` tokens per second: a fifth of a second's worth, >= 1."""
    return max(1.0, rate / 5)


def prefetch(concurrency: int, rate: float) -> int:
    """How many deliveries a consumer may hold: enough to be busy, no more than a minute's worth."""
    wanted = min(max(2 * concurrency, PREFETCH_LEAST), PREFETCH_MOST)
    return max(1, math.floor(min(wanted, rate * PREFETCH_HORIZON_SECONDS)))


class TokenBucket:
    """At most ``rate * t + size`` takes, less refunds, in any stretch of ``t`` seconds.

    ``rate`` is in tokens per second (infinity: no limit), ``size`` in tokens (at least 1),
    ``now`` in monotonic seconds.
    """

    __slots__ = ("_anchor", "_rate", "_seen", "_size", "_spent", "_start")

    def __init__(self, rate: float, size: float, now: float) -> None:
        # Tokens are reckoned from the moment the bucket was last full, and not added up call by
        # call: many small sums would round themselves above the rate.
        self._anchor = now
        self._seen = now
        self._rate = rate
        self._size = max(size, 1.0)
        self._start = self._size
        self._spent = 0

    def wait(self, now: float) -> float:
        """Seconds until a token is there; 0 when there is one, infinity when none will come."""
        if self._rate == math.inf:
            return 0.0
        now = self._settled(now)
        missing = 1 - self._tokens(now)
        if missing <= 0:
            return 0.0
        if self._rate <= 0:
            return math.inf
        seconds = missing / self._rate
        step = math.ulp(max(abs(now), seconds))
        while self._tokens(now + seconds) < 1:  # rounded down: who waits so long must get it
            seconds += step
            step *= 2
        return seconds

    def take(self, now: float) -> bool:
        """Take a token if one is there."""
        if self._rate == math.inf:
            return True
        now = self._settled(now)
        if self._tokens(now) < 1:
            return False
        self._spent += 1
        return True

    def give_back(self) -> None:
        """Refund a token that was taken and not used; a full bucket stays full."""
        self._spent -= 1

    def reconfigure(self, rate: float, size: float, now: float) -> None:
        """Change the limits; what is earned stays, as far as the new size holds it."""
        now = self._settled(now)
        earned = self._tokens(now)
        self._rate = rate
        self._size = max(size, 1.0)
        self._fill(min(earned, self._size), now)

    def _settled(self, now: float) -> float:
        """Answer the moment to reckon with; a bucket found full forgets its past.

        A reading that is a little old counts as the latest one. One that is far back is a clock
        that was set: what is earned stays, and time goes on from there.
        """
        back = self._seen - now
        if 0 < back < STALE_SECONDS:
            return self._seen
        if back > 0:
            self._anchor -= back
        self._seen = now
        if self._tokens(now) >= self._size:
            self._fill(self._size, now)
        return now

    def _tokens(self, at: float) -> float:
        if self._rate == math.inf:
            return self._size
        return min(self._start + (at - self._anchor) * self._rate - self._spent, self._size)

    def _fill(self, tokens: float, now: float) -> None:
        self._start = tokens
        self._spent = 0
        self._anchor = now
