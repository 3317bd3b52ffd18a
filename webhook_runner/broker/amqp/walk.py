"""A walk through a queue that keeps its order: everything is taken in hand, and given back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import uuid4

from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.faults import LostError

# Each consumer takes more than the one before: what a channel held goes back in the order of its
# consumers, but only as long as these are fewer than 33.
FIRST, MOST = 64, 4096
BYTES = 16_777_216
QUIET_SECONDS = 0.2
GIVEN_BACK_SECONDS = 2.0


class Walk:
    """Takes ``left`` messages of ``queue``, oldest first, some at a time."""

    def __init__(self, channel: Channel, queue: str, left: int) -> None:
        self._channel = channel
        self._queue = queue
        self._left = left
        self._name = f"{queue}-walk-{uuid4().hex}"
        self._number = 0
        self._arrived: list[Arrival] = []
        self._stir = asyncio.Event()
        self._removed = 0
        self.taken = 0
        channel.on_close(lambda _: self._stir.set())

    async def arrivals(self) -> AsyncGenerator[Arrival, None]:
        """Yield what was there, and stop before that when others have taken it.

        Raises LostError when the channel closes.
        """
        size = FIRST
        while self._left > 0:
            size = min(size, self._left)
            arrived = await self._take(size)
            for arrival in arrived:
                yield arrival
            if len(arrived) < size:
                return
            self._left -= len(arrived)
            largest = max(len(arrival.body) for arrival in arrived)
            size = max(1, min(size * 2, MOST, BYTES // (largest + 1)))

    def remove(self, arrival: Arrival) -> None:
        """Remove one for good, once the walk is closed. Raises LostError."""
        self._channel.ack(arrival.tag)
        self._removed += 1

    @property
    def kept(self) -> int:
        return self.taken - self._removed

    async def close(self) -> None:
        """Give back what was not removed."""
        with suppress(LostError):
            if self._removed:
                await self._settle()
            await self._channel.close()

    async def _take(self, size: int) -> list[Arrival]:
        arrived: list[Arrival] = []
        self._arrived = arrived
        tag = self._tag()
        await self._channel.consume(self._queue, tag, size, self._receive)
        try:
            await self._until(size)
        finally:
            with suppress(LostError):
                await self._channel.cancel(tag)
        return arrived

    async def _until(self, size: int) -> None:
        """Wait until so many have arrived, or nothing is left to arrive."""
        while len(self._arrived) < size:
            self._stir.clear()
            if self._channel.is_closed:
                raise LostError("the connection was lost on a walk")
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS):
                    await self._stir.wait()
                continue
            if not await self._channel.count(self._queue):
                return

    async def _settle(self) -> None:
        """Wait for the acks: a quorum queue has some dozens of them wait behind the others.

        The answers to these two make it take in the rest; a channel that closes forgets it.
        """
        for _ in range(2):
            tag = self._tag()
            await self._channel.consume(self._queue, tag, 1, self._receive)
            await self._channel.cancel(tag)

    def _tag(self) -> str:
        self._number += 1
        return f"{self._name}-{self._number:09d}"

    def _receive(self, arrival: Arrival) -> None:
        self.taken += 1
        self._arrived.append(arrival)
        self._stir.set()
