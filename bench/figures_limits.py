"""Figures of exactness: limits, attempts, backoff, roll-backs."""

from functools import cache

from bench import limits
from bench.figure import Figure, Line, Scale, most

# On a machine that is busy a retry may start so much after its time.
LATE_SECONDS = 0.25


@cache
def endings(scale: Scale) -> limits.Endings:
    """Measure tasks that fail: once, for two figures."""
    return limits.measure_endings(scale.pick(500, 10_000))


def kept(scale: Scale) -> list[Line]:
    """A11: limits as the server sees them."""
    found = limits.measure_limits(scale.pick(10_000, 100_000))
    unruly = limits.RATE * limits.UNRULY_SECONDS
    return [
        most(f"at once, of {found.requests} requests", found.at_once, limits.CONCURRENCY),
        Line(
            f"above {limits.RATE}/s x t + {limits.BUCKET}, any t",
            f"{max(found.above, 0):.1f}",
            f"<= {unruly:g} (50 ms)",
            found.above <= unruly,
        ),
    ]


def attempts(scale: Scale) -> list[Line]:
    """A12: so many attempts, so far apart."""
    found = endings(scale)
    longest = limits.BACKOFF * (1 + limits.JITTER)
    between = f"{found.shortest * 1000:.0f} to {found.longest * 1000:.0f} ms"
    allowed = f"{limits.BACKOFF * 1000:.0f} to {longest * 1000:.0f} + {LATE_SECONDS * 1000:.0f} ms"
    exact = found.shortest >= limits.BACKOFF and found.longest <= longest + LATE_SECONDS
    return [
        most(f"{found.failed} failing tasks: wrong attempts", found.wrong_attempts, 0),
        Line("wait before a retry", between, allowed, exact),
    ]


def roll_backs(scale: Scale) -> list[Line]:
    """A13: one for each failed task, none for the others."""
    found = endings(scale)
    return [most(f"{found.roll_backs} roll-backs: wrong ones", found.wrong_roll_backs, 0)]


FIGURES = (
    Figure("A11", "limits as the server sees them", kept),
    Figure("A12", "attempts and backoff", attempts),
    Figure("A13", "roll-backs", roll_backs),
)
