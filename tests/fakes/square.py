"""A board of several daemons without a broker: each is heard by all, one word after the other."""

import asyncio
from collections.abc import Sequence

from webhook_runner.ports import Listener
from webhook_runner.task.notice import Notice


class Square:
    """Where everybody is heard. ``deaf`` holds those who hear nothing for now."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.words: list[bytes] = []
        self.kept: list[Notice] = []
        self.deaf: set[Place] = set()

    def place(self) -> "Place":
        place = Place(self)
        self.places.append(place)
        return place


class Place:
    """One daemon's place on the square. Implements ports.Board."""

    def __init__(self, square: Square) -> None:
        self._square = square
        self._listener: Listener | None = None

    def attend(self, listener: Listener) -> None:
        self._listener = listener

    async def post(self, notices: Sequence[Notice]) -> None:
        await asyncio.sleep(0)
        self._square.kept += notices
        for each in self._hearers():
            for notice in notices:
                each.recall(notice)

    async def call(self, word: bytes) -> None:
        await asyncio.sleep(0)
        self._square.words.append(word)
        for each in self._hearers():
            each.hear(word)

    async def recalled(self) -> None:
        await asyncio.sleep(0)

    def _hearers(self) -> list[Listener]:
        hearing = [each for each in self._square.places if each not in self._square.deaf]
        return [each._listener for each in hearing if each._listener is not None]
