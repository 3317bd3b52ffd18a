"""How long to wait before the next attempt."""

import math
from collections.abc import Sequence

LEAST = 0.1
"""Seconds that replace a wait of 0, which would be a hot loop."""

LONGEST = 100 * 365.25 * 86_400.0
"""Seconds that stand for 'for ever', before jitter: a due time must stay a finite number."""

STANDARD = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""The schedule of the Standard Webhooks specification, in seconds."""


def backoff(
    retry: int, *, minimum: float, maximum: float, doublings: int, jitter: float, u: float
) -> float:
    """Seconds before retry number ``retry`` (1 for the first).

    The wait doubles ``doublings`` times (-1: always), then grows by its last step. ``maximum``
    caps it before the jitter (-1: no cap). ``u`` in [0, 1) lengthens it by up to ``jitter``.
    """
    least = minimum if minimum > 0 else LEAST
    if doublings < 0 or retry <= doublings + 1:
        base = _doubled(least, max(retry, 1) - 1)
    else:
        base = _doubled(least, doublings) * (retry - doublings)
    return _lengthened(min(base, _cap(maximum)), jitter, u)


def fixed_schedule(retry: int, *, schedule: Sequence[float], jitter: float, u: float) -> float:
    """Seconds before retry number ``retry``: its entry of ``schedule``; the last one repeats.

    Raises IndexError when the schedule is empty.
    """
    base = schedule[min(max(retry, 1), len(schedule)) - 1]
    return _lengthened(base if base > 0 else LEAST, jitter, u)


def sidekiq(retry: int, *, u: float) -> float:
    """Seconds before retry number n: n^4 + 15 + rand(10) * (n + 1), the noise drawn by ``u``."""
    n = max(retry, 1)
    return min(n**4 + 15 + 10 * u * (n + 1), LONGEST)


def standard(retry: int, *, jitter: float, u: float) -> float:
    """Seconds before retry number ``retry`` by the schedule of Standard Webhooks."""
    return fixed_schedule(retry, schedule=STANDARD, jitter=jitter, u=u)


def _doubled(seconds: float, times: int) -> float:
    try:
        return min(math.ldexp(seconds, times), LONGEST)
    except OverflowError:
        return LONGEST


def _cap(maximum: float) -> float:
    if maximum < 0:
        return LONGEST
    return min(maximum if maximum > 0 else LEAST, LONGEST)


def _lengthened(seconds: float, jitter: float, u: float) -> float:
    return seconds * (1 + u * jitter)
