"""A broker with the world around it: what a test does beside the port, whichever broker it is."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from tests.parts.running_broker import Heard, Recorder, Running
from webhook_runner.ports import Board, Broker, Shelf


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter: what was set aside, as dead or as invalid."""

    body: bytes
    headers: dict[str, object]
    message_id: str
    content_type: str
    correlation_id: str


class Rig(ABC):
    """``broker`` serves the queues "q" and "other"."""

    def __init__(self, at_work: Running[Any]) -> None:
        self.at_work = at_work

    @property
    def broker(self) -> Broker:
        broker: Broker = self.at_work.broker
        return broker

    @property
    def board(self) -> Board:
        board: Board = self.at_work.broker
        return board

    @property
    def shelf(self) -> Shelf:
        shelf: Shelf = self.at_work.broker
        return shelf

    @property
    def heard(self) -> Heard:
        return self.at_work.heard

    async def consuming(self, prefetch: int = 100, **how: bool) -> Recorder:
        return await self.at_work.consuming("q", prefetch, **how)

    async def enqueue(self, *names: str) -> None:
        """Publish these tasks to "q", each after the other was confirmed."""
        for name in names:
            await self.broker.enqueue(self.at_work.envelope(name, "q"))

    @abstractmethod
    async def submit(self, queue: str, body: bytes, **properties: Any) -> None:
        """Publish as an application does."""

    @abstractmethod
    async def lose_connection(self) -> None:
        """Lose every delivery in hand; the same consumers get what was not settled once more."""

    @abstractmethod
    async def ready(self, queue: str) -> int:
        """Return how many messages could be handed over now."""

    @abstractmethod
    async def dead(self, queue: str) -> list[Kept]: ...

    @abstractmethod
    async def invalid(self, queue: str) -> list[Kept]: ...

    @abstractmethod
    async def block(self) -> None:
        """Leave no room for publishes; the broker may notice at the next one."""

    @abstractmethod
    async def unblock(self) -> None: ...

    @abstractmethod
    def successor(self) -> AbstractAsyncContextManager[Running[Any]]:
        """Start another one where this one, which was drained, has left off."""
