"""The publishes of a channel that the broker has not answered yet, numbered as it numbers them."""

import asyncio
from dataclasses import dataclass
from itertools import takewhile

from webhook_runner.broker.amqp.faults import LostError, NackedError, ReturnedError


@dataclass(slots=True, eq=False)
class Waiting:
    message_id: str
    confirm: asyncio.Future[None]


class Confirms:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, Waiting] = {}
        self._number = 0

    def next(self, message_id: str) -> asyncio.Future[None]:
        """Return what the next publish waits for.

        It raises NackedError, ReturnedError, LostError.
        """
        self._number += 1
        confirm: asyncio.Future[None] = self._loop.create_future()
        self._waiting[self._number] = Waiting(message_id, confirm)
        return confirm

    def took(self, number: int, *, before: bool) -> None:
        """Tell that the broker has a publish, or all up to it."""
        for each in self._settled(number, before=before):
            if not each.confirm.done():
                each.confirm.set_result(None)

    def refused(self, number: int, *, before: bool) -> None:
        """Tell that the broker does not have it."""
        for each in self._settled(number, before=before):
            _fail(each, NackedError("the broker refused the message"))

    def returned(self, message_id: str, why: str) -> None:
        """Tell that a publish has found no queue: the oldest of that id, as they are in order."""
        for each in self._waiting.values():
            if each.message_id == message_id and not each.confirm.done():
                _fail(each, ReturnedError(why))
                return

    def lose(self, why: str) -> None:
        """Tell that nothing is answered any more."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            _fail(each, LostError(why))

    def _settled(self, number: int, *, before: bool) -> list[Waiting]:
        numbers = list(takewhile(number.__ge__, self._waiting)) if before else (number,)
        return [self._waiting.pop(each) for each in numbers if each in self._waiting]


def _fail(waiting: Waiting, error: Exception) -> None:
    if not waiting.confirm.done():
        waiting.confirm.set_exception(error)
