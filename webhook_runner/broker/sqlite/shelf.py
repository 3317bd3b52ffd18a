"""What lies in the queue file, looked at and removed in small steps between the commits."""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TypeVar, cast

from webhook_runner.broker.sqlite.batch import Drop, Purge
from webhook_runner.broker.sqlite.group_commit import GroupCommit
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.shelf_table import (
    END,
    START,
    Place,
    letters_in,
    page,
    places_in,
)
from webhook_runner.errors import BrokerUnavailableError
from webhook_runner.ports import Clock
from webhook_runner.task.notice import Aside, Depths, PutAside

T = TypeVar("T")
_STEP = 500


class FileShelf:
    """See `webhook_runner.ports.Shelf`. A queue that is not known holds nothing."""

    def __init__(self, commits: GroupCommit, clock: Clock) -> None:
        self._commits = commits
        self._clock = clock
        self._file: QueueFile | None = None

    def open(self, file: QueueFile) -> None:
        self._file = file

    def close(self) -> None:
        self._file = None

    @asynccontextmanager
    async def walk(self, aside: Aside, queue: str) -> AsyncIterator[AsyncIterator[PutAside]]:
        async with aclosing(self._letters(aside, queue, self._last())) as letters:
            yield letters

    async def _letters(self, aside: Aside, queue: str, last: int) -> AsyncGenerator[PutAside, None]:
        after = 0
        while letters := await self._ask(
            partial(page, aside=aside, queue=queue, after=after, last=last)
        ):
            for each in letters:
                yield each
            after = _row_of(letters[-1])

    async def remove(self, item: PutAside) -> None:
        number = _row_of(item)
        await self._remove(Drop(item.aside, item.queue, number, number))

    async def clear(self, aside: Aside, queue: str) -> int:
        return await self._remove_all(Drop(aside, queue, 0, self._last(), _STEP))

    async def depths(self, queue: str) -> Depths:
        now = self._now()
        return Depths(
            ready=await self._places(queue, START, now),
            dead=await self._ask(partial(letters_in, aside=Aside.DEAD, queue=queue)),
            invalid=await self._ask(partial(letters_in, aside=Aside.INVALID, queue=queue)),
            scheduled=await self._places(queue, (now, END), END),
        )

    async def purge(self, queue: str) -> int:
        return await self._remove_all(Purge(queue, self._now(), self._last(), _STEP))

    async def _places(self, queue: str, after: Place, upto: int) -> int:
        """Count in steps, so that others are served in between."""
        count, behind = 0, after
        while True:
            some, mark = await self._ask(partial(places_in, queue=queue, after=behind, upto=upto))
            count += some
            if mark is None:
                return count
            behind = mark

    async def _remove_all(self, step: Drop | Purge) -> int:
        """Remove in steps what is there now, so that others are served in between."""
        count = 0
        while removed := await self._remove(step):
            count += removed
        return count

    async def _remove(self, step: Drop | Purge) -> int:
        self._opened()  # nobody answers behind its close
        return await self._commits.remove(step)

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return await self._commits.ask(self._opened(), question)

    def _last(self) -> int:
        return self._opened().last_id

    def _opened(self) -> QueueFile:
        if self._file is None:
            raise BrokerUnavailableError("the queue file is not open")
        return self._file

    def _now(self) -> int:
        return int(self._clock.now() * 1000)


def _row_of(item: PutAside) -> int:
    return cast("int", item.handle)
