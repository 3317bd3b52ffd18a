"""The connections of one queue: what hangs in one queue never takes from another."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

_DEFAULT_CONCURRENCY = 10
_SPARE_CONNECTIONS = 2

P = TypeVar("P")


@dataclass(slots=True)
class Lane(Generic[P]):
    """A pool and how many requests are in it."""

    pool: P
    busy: int = 0


class Lanes(Generic[P]):
    """A pool for each queue, made when it first sends and again when its size changes."""

    def __init__(self, make: Callable[[int], P], close: Callable[[P], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._concurrency: dict[str, int] = {}
        self._lanes: dict[str, Lane[P]] = {}
        self._retired: list[Lane[P]] = []

    def configure(self, queue: str, concurrency: int) -> None:
        """Set a size for requests to come; those under way are left alone."""
        if self._concurrency.get(queue, _DEFAULT_CONCURRENCY) != concurrency:
            lane = self._lanes.pop(queue, None)
            if lane is not None:
                self._retired.append(lane)
        self._concurrency[queue] = concurrency

    def enter(self, queue: str) -> Lane[P]:
        lane = self._lanes.get(queue)
        if lane is None:
            size = self._concurrency.get(queue, _DEFAULT_CONCURRENCY) + _SPARE_CONNECTIONS
            lane = self._lanes[queue] = Lane(self._make(size))
        lane.busy += 1
        return lane

    async def leave(self, lane: Lane[P]) -> None:
        lane.busy -= 1
        if self._retired:
            done = [each for each in self._retired if not each.busy]
            self._retired = [each for each in self._retired if each.busy]
            for each in done:
                await self._close(each.pool)

    async def close(self) -> None:
        """Close every pool."""
        lanes = [*self._lanes.values(), *self._retired]
        self._lanes.clear()
        self._retired.clear()
        for lane in lanes:
            await self._close(lane.pool)
