"""The notices of a daemon that is alone with its queue file: kept there, and recalled from it."""

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial

from webhook_runner.broker.sqlite.group_commit import GroupCommit
from webhook_runner.broker.sqlite.notice_table import kept
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.queue_trouble import explained, refusal
from webhook_runner.ports import Clock, Listener
from webhook_runner.task.notice import Notice


class FileBoard:
    """See `webhook_runner.ports.Board`."""

    def __init__(self, commits: GroupCommit, clock: Clock) -> None:
        self._commits = commits
        self._clock = clock
        self._listener: Listener | None = None
        self._recalled = asyncio.Event()

    def attend(self, listener: Listener) -> None:
        self._listener = listener

    async def open(self, file: QueueFile) -> None:
        """Recall what is kept. Raises QueueFileError."""
        now, last, more = round(self._clock.now() * 1000), 0, True
        while more:
            try:
                notices, last = await self._commits.read(file, partial(kept, after=last, now=now))
            except sqlite3.Error as error:
                raise refusal(file.path, explained(error)) from error
            self._recall(notices)
            more = bool(notices)
        self._recalled.set()

    def close(self) -> None:
        self._recalled.clear()

    async def post(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        posted = self._commits.post(tuple(notices))
        # Who does not wait for it any more has posted it all the same.
        posted.add_done_callback(lambda _: self._recall(notices))
        await asyncio.shield(posted)

    async def call(self, word: bytes) -> None:
        await self.recalled()
        asyncio.get_running_loop().call_soon(self._hear, word)
        await asyncio.sleep(0)

    async def recalled(self) -> None:
        await self._recalled.wait()

    def _recall(self, notices: Sequence[Notice]) -> None:
        if self._listener is not None:
            for notice in notices:
                self._listener.recall(notice)

    def _hear(self, word: bytes) -> None:
        if self._listener is not None:
            self._listener.hear(word)
