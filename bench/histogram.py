"""Lateness as a histogram of milliseconds, and its percentiles."""

from collections.abc import Sequence
from dataclasses import dataclass

EDGES_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of some milliseconds."""

    p50: float
    p99: float
    most: float


def spread(milliseconds: Sequence[float]) -> Spread:
    """Return the percentiles of at least one value."""
    ordered = sorted(milliseconds)
    return Spread(ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1])


def print_histogram(milliseconds: Sequence[float]) -> None:
    """Print a line for each span."""
    below = 0.0
    for edge in (*EDGES_MS, float("inf")):
        count = sum(1 for each in milliseconds if below <= each < edge)
        bar = "#" * (_WIDTH * count // max(len(milliseconds), 1))
        print(f"{below:>8g} .. {edge:<8g} ms {count:>8} {bar}")
        below = edge
