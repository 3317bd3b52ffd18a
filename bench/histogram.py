"""Lateness as a histogram of milliseconds, and its percentiles."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
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


def counted(milliseconds: Sequence[float]) -> list[int]:
    """Return how many are below each edge and not below the one before, and the rest."""
    counts = [0] * (len(EDGES_MS) + 1)
    for each in milliseconds:
        counts[bisect_right(EDGES_MS, each)] += 1
    return counts


def lines_of(counts: Sequence[int]) -> Iterator[str]:
    """Return a line for each span."""
    below = 0.0
    for edge, count in zip((*EDGES_MS, float("inf")), counts, strict=True):
        bar = "#" * (_WIDTH * count // max(sum(counts), 1))
        yield f"{below:>8g} .. {edge:<8g} ms {count:>8} {bar}"
        below = edge


def print_histogram(milliseconds: Sequence[float]) -> None:
    """Print a line for each span."""
    for line in lines_of(counted([max(each, 0.0) for each in milliseconds])):
        print(line)
