"""What several processes have counted, as one page: totals are summed, also of those that ended."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from operator import add

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from webhook_runner.observe.series import PREFIX

Labels = tuple[tuple[str, str], ...]
Count = tuple[str, Labels, float]

_COUNTED = frozenset({"counter", "histogram"})
_MERGED: Mapping[str, Callable[[float, float], float]] = {
    f"{PREFIX}_in_flight": add,
    f"{PREFIX}_event_loop_tasks": add,
    f"{PREFIX}_breaker_state": max,
    f"{PREFIX}_scheduled": max,
    f"{PREFIX}_consuming": max,
    f"{PREFIX}_broker_up": min,
    f"{PREFIX}_broker_blocked": max,
    "process_virtual_memory_bytes": add,
    "process_resident_memory_bytes": add,
    "process_open_fds": add,
}
"""Gauges that the others have a say in; of all others that of this process is shown."""


def counts(registry: CollectorRegistry) -> list[Count]:
    """Return all that a process has counted, for ``Tallies`` of another."""
    return [
        (sample.name, tuple(sample.labels.items()), sample.value)
        for family in registry.collect()
        if family.type in _COUNTED or family.name in _MERGED
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


class Tallies(Collector):
    """Looks like a registry: that of this process, with what others have told laid over it."""

    def __init__(self, own: CollectorRegistry) -> None:
        self._own = own
        self._told: dict[Hashable, dict[tuple[str, Labels], float]] = {}
        self._past: dict[tuple[str, Labels], float] = {}

    def take(self, who: Hashable, told: Iterable[Count]) -> None:
        """Take what another process has counted since it began."""
        self._told[who] = {(name, labels): value for name, labels, value in told}

    def retire(self, who: Hashable) -> None:
        """Keep the totals of a process that has ended."""
        for key, value in self._told.pop(who, {}).items():
            self._past[key] = self._past.get(key, 0.0) + value

    def collect(self) -> Iterator[Metric]:
        for family in self._own.collect():
            if family.type in _COUNTED:
                yield self._merged(family, add, [*self._told.values(), self._past])
            elif family.name in _MERGED:
                yield self._merged(family, _MERGED[family.name], self._told.values())
            else:
                yield family

    def _merged(
        self,
        family: Metric,
        merge: Callable[[float, float], float],
        told: Iterable[Mapping[tuple[str, Labels], float]],
    ) -> Metric:
        values = {(each.name, tuple(each.labels.items())): each.value for each in family.samples}
        names = {family.name + suffix for suffix in ("", "_total", "_bucket", "_count", "_sum")}
        for page in told:
            for key, value in page.items():
                if key[0] in names:
                    values[key] = merge(values[key], value) if key in values else value
        merged = Metric(family.name, family.documentation, family.type, family.unit)
        merged.samples = [
            Sample(name, dict(labels), value) for (name, labels), value in values.items()
        ]
        return merged
