"""A clock that moves when it is told to, or when everything waits for it."""

import asyncio
import heapq
import math


class FakeClock:
    """Implements ports.Clock. ``run_until`` moves time from one sleeper to the next."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._start = now
        self._passed = 0.0  # apart, for epoch seconds are too coarse to add small waits to
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiting = asyncio.get_running_loop().create_future()
        self._count += 1
        wake = max(self._passed + seconds, math.nextafter(self._passed, math.inf))
        heapq.heappush(self._sleepers, (wake, self._count, waiting))
        await waiting

    async def sleep_until(self, when: float) -> None:
        while self.now() < when:
            await self.sleep(max(when - self.now(), 1e-6))

    def step(self, seconds: float) -> None:
        """Set the wall clock; monotonic time stays as it is."""
        self._start += seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking every sleeper in order and letting it act."""
        await self._run(self._passed + seconds)

    async def run_until(self, end: float) -> None:
        """The same until ``end`` (epoch seconds)."""
        await self._run(end - self._start)

    async def _run(self, end: float) -> None:
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, waiting = heapq.heappop(self._sleepers)
            if waiting.done():
                continue
            self._passed = max(self._passed, at)
            waiting.set_result(None)
            await settle()
        self._passed = max(self._passed, end)
        await settle()


async def settle(turns: int = 60) -> None:
    """Let every task that can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)
