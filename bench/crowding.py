"""How many requests a queue had under way at once, as the receiver saw it."""

from collections import defaultdict
from collections.abc import Iterable

from bench.received import Request

CUT_GRACE = 0.1
"""Seconds: the end of a connection is seen later than a request that follows it."""


def peaks(requests: Iterable[Request]) -> dict[str, int]:
    """Return the most at once, by queue and, as QUEUE/DAEMON, by daemon."""
    moments: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for each in requests:
        end = each.ended if each.status else max(each.arrived, each.ended - CUT_GRACE)
        for name in (each.queue, f"{each.queue}/{each.sender}"):
            moments[name] += [(each.arrived, 1), (end, -1)]
    return {name: _peak(sorted(found)) for name, found in sorted(moments.items())}


def _peak(changes: Iterable[tuple[float, int]]) -> int:
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
