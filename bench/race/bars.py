"""Which bars the chart has."""

from collections.abc import Mapping, Sequence
from statistics import median

KINDS = ("quorum", "classic")


def rates(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median rate by contender and kind of queue, of "NAME, KIND" and its runs."""
    found: dict[str, dict[str, float]] = {}
    for line, laps in runs.items():
        name, _, kind = line.rpartition(", ")
        if kind in KINDS and laps:
            found.setdefault(name, {})[kind] = median(lap["per_second"] for lap in laps)
    return dict(sorted(found.items(), key=lambda item: max(item[1].values())))
