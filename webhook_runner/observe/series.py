"""The series of a metric as plain numbers, and labels that do not grow with what senders write."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from webhook_runner.task.outcome import (
    Interrupted,
    Outcome,
    Refused,
    Responded,
    TimedOut,
    Unreachable,
)

OTHER = "other"
PREFIX = "webhook_runner"

T = TypeVar("T")
Labels = tuple[str, ...]

_MOST_WORDS = 50


class Words:
    """Lets through the first fifty words of a label; every later one is ``other``."""

    def __init__(self) -> None:
        self._known: set[str] = {""}

    def __call__(self, word: str) -> str:
        if word in self._known:
            return word
        if len(self._known) > _MOST_WORDS:
            return OTHER
        self._known.add(word)
        return word


class Series(defaultdict[Labels, T], Generic[T]):
    """The series of one metric by their labels. Whoever counts adds to them in place.

    The client library's own metrics lock, check and look up for each number, several times for
    each task; here that is done when a page is asked for.
    """

    def __init__(self, make: Callable[[], T], name: str, text: str, labels: Labels) -> None:
        super().__init__(make)
        self.name = f"{PREFIX}_{name}"
        self.text = text
        self.labels = labels


class Spread:
    """The numbers of one histogram: how many were at most each of its bounds, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, number: float) -> None:
        self.counts[bisect_left(self.bounds, number)] += 1
        self.sum += number

    def buckets(self) -> list[tuple[str, float]]:
        """Return the counts up to each bound, by its text."""
        told: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(float, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            told.append((str(bound), float(total)))
        return told


class Register(Collector):
    """Makes metrics, and tells a registry of its own what they are."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._counters: list[Series[float]] = []
        self._gauges: list[Series[float]] = []
        self._histograms: list[Series[Spread]] = []
        self.registry.register(self)

    def counter(self, name: str, text: str, *labels: str) -> Series[float]:
        """Make a counter; without labels it is shown from zero."""
        return _kept(Series(float, name, text, labels), self._counters)

    def gauge(self, name: str, text: str, *labels: str) -> Series[float]:
        """Make a gauge; without labels it is shown from zero."""
        return _kept(Series(float, name, text, labels), self._gauges)

    def watched_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Make a gauge that is read for every page."""
        Gauge(name, text, namespace=PREFIX, registry=self.registry).set_function(read)

    def histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> Series[Spread]:
        """Make a histogram for each queue."""
        series = Series(lambda: Spread(bounds), name, text, ("queue",))
        self._histograms.append(series)
        return series

    def collect(self) -> Iterator[Metric]:
        kinds = (CounterMetricFamily, self._counters), (GaugeMetricFamily, self._gauges)
        for kind, all_series in kinds:
            for series in all_series:
                family = kind(series.name, series.text, labels=series.labels)
                for labels, number in series.items():
                    family.add_metric(labels, float(number))
                yield family
        for spreads in self._histograms:
            histogram = HistogramMetricFamily(spreads.name, spreads.text, labels=spreads.labels)
            for labels, spread in spreads.items():
                histogram.add_metric(labels, spread.buckets(), spread.sum)
            yield histogram


def _kept(series: Series[float], among: list[Series[float]]) -> Series[float]:
    if not series.labels:
        series[()] = 0.0
    among.append(series)
    return series


def outcome_class(outcome: Outcome) -> str:
    """Return the label of an outcome: ``2xx`` and its like, or the public word of the trouble."""
    match outcome:
        case Responded(status=status):
            return f"{status // 100}xx" if 100 <= status <= 599 else OTHER  # noqa: PLR2004 - HTTP
        case TimedOut():
            return "timeout"
        case Unreachable(trouble=trouble):
            return trouble.value
        case Refused():
            return "refused"
        case Interrupted():
            return "interrupted"
