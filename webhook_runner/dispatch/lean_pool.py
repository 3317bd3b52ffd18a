"""The connections of one queue by origin: the one used last is reused first."""

import asyncio
from collections.abc import Callable
from time import monotonic

from webhook_runner.dispatch.lean_connection import LeanConnection

# Below the idle time after which common servers close (5 s), so that few requests meet a
# connection that is just being closed.
KEEPALIVE_SECONDS = 4.0


class LeanPool:
    """At most ``size`` connections, idle or in use. Who uses one holds one of ``slots``."""

    def __init__(self, size: int) -> None:
        self.slots = asyncio.Semaphore(size)
        self._size = size
        self._busy = 0
        self._idle: dict[str, list[LeanConnection]] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, origin: str) -> LeanConnection | None:
        """Return a connection to write to in this very turn of the loop, or None to open one.

        Either way, ``give_back`` must follow.
        """
        self._busy += 1
        idle = self._idle.get(origin, [])
        oldest = monotonic() - KEEPALIVE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.idle_since > oldest and connection.is_fresh():
                return connection
            connection.abort()
        self._make_room()
        return None

    def give_back(self, origin: str, connection: LeanConnection | None) -> None:
        """Keep a connection for the next request, or close it; None: none could be opened."""
        self._busy -= 1
        if connection is None:
            return
        if self._closed or not connection.usable:
            connection.abort()
            return
        connection.idle_since = monotonic()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep_timer is None:
            self._sweep_timer = _later(self._sweep)

    async def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # the turn of the loop in which aborted transports close

    def _make_room(self) -> None:
        """Close the connection that was idle longest if another one would be too many."""
        if self._busy + sum(map(len, self._idle.values())) <= self._size:
            return
        waiting = [idle for idle in self._idle.values() if idle]
        if waiting:
            min(waiting, key=lambda idle: idle[0].idle_since).pop(0).abort()

    def _sweep(self) -> None:
        oldest = monotonic() - KEEPALIVE_SECONDS
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since <= oldest:
                idle.pop(0).abort()
            if not idle:
                del self._idle[origin]
        self._sweep_timer = _later(self._sweep) if self._idle else None


def _later(work: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(KEEPALIVE_SECONDS, work)
