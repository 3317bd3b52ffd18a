"""How a daemon stands by what its workers say of themselves."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from webhook_runner.engine.consumer import Hold
from webhook_runner.engine.queues import Queues
from webhook_runner.process.readiness import FINE
from webhook_runner.process.workers.allotment import Allotment
from webhook_runner.process.workers.seat import Seat
from webhook_runner.process.workers.wire import Stands

SILENT_SECONDS = 15.0
"""A worker that has said nothing for so long is not believed to work."""


class Outlook:
    """``queues`` are those of the parent: their lanes show what runs in workers."""

    def __init__(self, seats: Sequence[Seat], allotment: Allotment, queues: Queues) -> None:
        self._seats = seats
        self._allotment = allotment
        self._queues = queues

    def consuming(self, queues: Iterable[str]) -> frozenset[str]:
        """Return the queues that are consumed by all workers who are there to do so."""
        return frozenset(name for name in queues if self._is_consumed(name))

    def scheduled(self) -> int:
        """Return how many tasks wait, by the latest count of any worker."""
        return max((each.scheduled for each in self._standing()), default=0)

    def troubles(self) -> Mapping[str, str]:
        """Return what keeps each worker from its work, or ``ok``."""
        now, told = asyncio.get_running_loop().time(), {}
        for seat in self._seats:
            trouble = ""
            if seat.stands is None:
                trouble = "not running" if seat.process is None else "starting"
            elif now - seat.heard_at > SILENT_SECONDS:
                trouble = f"silent for {now - seat.heard_at:.0f} s"
            elif not seat.stands.connected:
                trouble = "not connected"
            elif seat.stands.blocked:
                trouble = f"blocked: {seat.stands.blocked}"
            told[f"worker {seat.shown}"] = trouble or "ok"
        return told

    def note_running(self) -> None:
        """Keep in the lanes what workers say of their queues."""
        standing = list(self._standing())
        for name, lane in self._queues.lanes.items():
            found = [each.queues[name] for each in standing if name in each.queues]
            lane.elsewhere = sum(each.running for each in found)
            lags = [each.lag for each in found if each.lag is not None]
            lane.lag = max(lags, default=lane.lag)

    def _standing(self) -> Iterable[Stands]:
        return (seat.stands for seat in self._seats if seat.stands is not None)

    def _is_consumed(self, name: str) -> bool:
        conditions = {
            seat.stands.queues[name].condition
            for seat in self._seats
            if seat.stands is not None
            and name in seat.stands.queues
            and self._allotment.has_portion(seat.number, name)
        } - {Hold.ELSEWHERE.value}
        return bool(conditions) and conditions <= FINE
