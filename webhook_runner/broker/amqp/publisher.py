"""Publishes of one session: confirmed, bounded, waiting while the broker is blocked."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

from webhook_runner.broker.amqp.channel import Channel, Outgoing

CHANNELS = 2
# A confirm for many walks over all that are outstanding on its channel.
IN_FLIGHT_PER_CHANNEL = 500


class Publisher:
    """Publishes over the confirm channels of one connection, until that is lost."""

    def __init__(self, channels: tuple[Channel, ...], now: Callable[[], float]) -> None:
        self._in_flight = dict.fromkeys(channels, 0)
        self._first = channels[0]
        self._room = asyncio.Semaphore(IN_FLIGHT_PER_CHANNEL * len(channels))
        self._now = now
        self._base = uuid4().hex
        self._number = 0
        self._started: dict[int, float] = {}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._flowing_since = now()

    def block(self) -> None:
        self._flowing.clear()

    def unblock(self) -> None:
        self._flowing_since = self._now()
        self._flowing.set()

    async def flowing(self) -> None:
        """Wait until the broker takes publishes."""
        await self._flowing.wait()

    def longest_wait(self) -> float:
        """Return for how many seconds the oldest publish has waited for its confirm, unblocked."""
        if not self._flowing.is_set() or not self._started:
            return 0.0
        oldest = next(iter(self._started.values()))
        return self._now() - max(oldest, self._flowing_since)

    async def publish(self, out: Outgoing) -> None:
        """Publish once and wait for the confirm. Raises what `Channel.publish` raises."""
        await self._flowing.wait()
        async with self._room:
            self._number = number = self._number + 1
            channel = self._first
            if not out.in_order:
                channel = min(self._in_flight, key=self._in_flight.__getitem__)
            self._in_flight[channel] += 1
            self._started[number] = self._now()
            try:
                await channel.publish(out, f"{self._base}-{number}")
            finally:
                del self._started[number]
                self._in_flight[channel] -= 1
