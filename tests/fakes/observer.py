"""An observer that remembers every event, and lets a test wait for one."""

import asyncio
from typing import TypeVar

from webhook_runner.task.event import Event

Kind = TypeVar("Kind")


class RecordingObserver:
    """Implements ports.Observer."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._came = asyncio.Event()

    def notice(self, event: Event) -> None:
        self.events.append(event)
        self._came.set()

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind: type[Kind]) -> Kind:
        return self.all(kind)[-1]

    async def wait_for(self, kind: type[Kind], count: int = 1, within: float = 5.0) -> Kind:
        """Return the event of this kind with that number, once it has come."""
        async with asyncio.timeout(within):
            while len(self.all(kind)) < count:
                self._came.clear()
                await self._came.wait()
        return self.all(kind)[count - 1]
