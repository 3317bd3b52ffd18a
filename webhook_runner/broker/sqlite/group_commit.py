"""Group commit: whatever is asked of the queue file during one commit goes into the next."""

import asyncio
import sqlite3
from asyncio import Future
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from webhook_runner.broker.sqlite.batch import (
    Batch,
    Claim,
    Claimed,
    Post,
    Publish,
    Removal,
    Settle,
)
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.queue_trouble import explained, is_passing, refusal
from webhook_runner.errors import BrokerUnavailableError, QueueFileError
from webhook_runner.ports import Clock

T = TypeVar("T")
RETRY_SECONDS = 1.0
TEND_SECONDS = 1.0


class GroupCommit:
    """Writes batches, in a thread of its own or (``thread`` False) in the event loop.

    ``tell`` is called with the reason when nothing can be written, and with "" when it can again;
    what waits meanwhile is kept and tried every second.
    """

    def __init__(self, clock: Clock, tell: Callable[[str], None], *, thread: bool) -> None:
        self._clock = clock
        self._tell = tell
        self._thread = ThreadPoolExecutor(1, "queue-file") if thread else None
        self._next = Batch()
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.trouble = ""

    def publish(self, what: Publish) -> Future[None]:
        """Ask for a publish. Cancelled before it is tried anew, it is not made."""
        self._want()
        committed: Future[None] = asyncio.get_running_loop().create_future()
        self._next.publishes[committed] = what
        return committed

    def settle(self, what: Settle) -> Future[bool]:
        """Ask for an ack or a return. False when the file was closed before it was written."""
        self._want()
        committed: Future[bool] = asyncio.get_running_loop().create_future()
        self._next.settles[committed] = what
        return committed

    def claim(self, what: Claim) -> Future[Claimed]:
        self._want()
        found: Future[Claimed] = asyncio.get_running_loop().create_future()
        self._next.claims[found] = what
        return found

    def post(self, what: Post) -> Future[None]:
        """Ask for notices to be kept. Nothing cancels that."""
        self._want()
        committed: Future[None] = asyncio.get_running_loop().create_future()
        self._next.posts[committed] = what
        return committed

    def remove(self, what: Removal) -> Future[int]:
        """Ask for a removal. BrokerUnavailableError when the file was closed before."""
        self._want()
        removed: Future[int] = asyncio.get_running_loop().create_future()
        self._next.removals[removed] = what
        return removed

    async def read(self, file: QueueFile, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer a question between two commits. Raises sqlite3.Error."""
        return await self._call(lambda: file.ask(question))

    async def ask(self, file: QueueFile, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer a question between two commits.

        Raises BrokerUnavailableError; a file that is damaged there may serve tasks all the same.
        """
        try:
            return await self.read(file, question)
        except sqlite3.Error as error:
            raise BrokerUnavailableError(f"queue file {file.path}: {explained(error)}") from error

    async def open(self, path: str) -> QueueFile:
        """Open the file. Raises QueueFileError."""
        return await self._call(lambda: QueueFile.open(path))

    async def run(self, file: QueueFile) -> None:
        """Write until cancelled. Raises QueueFileError when the file is beyond hope."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await self._write_next(file)
        finally:
            self._idle.set()  # nobody waits for a writer that is gone

    async def tend(self, file: QueueFile) -> None:
        """Look after the file every second until cancelled. Raises QueueFileError."""
        while True:
            await self._clock.sleep(TEND_SECONDS)
            try:
                await self._call(lambda: file.tend(round(self._clock.now() * 1000)))
            except sqlite3.Error as error:
                if not is_passing(error):
                    raise refusal(file.path, explained(error)) from error

    async def _write_next(self, file: QueueFile) -> None:
        batch, self._next = self._next, Batch()
        await self._write(file, batch)
        while self.trouble:
            self._rest()
            await self._clock.sleep(RETRY_SECONDS)
            await self._try_again(file)
        await asyncio.sleep(0)  # who got what it claimed may give it back
        self._rest()

    async def flush(self) -> None:
        """Wait until nothing waits to be written."""
        await self._idle.wait()

    async def close(self, file: QueueFile) -> None:
        """Close the file; what was not written by now is not."""
        _give_up(self._next)
        await self._call(file.close)
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _want(self) -> None:
        self._idle.clear()
        self._wanted.set()

    def _rest(self) -> None:
        """Go on at once with what could not be written, if there is any."""
        if self._next:
            self._wanted.set()
        else:
            self._idle.set()

    async def _try_again(self, file: QueueFile) -> None:
        """Try first what makes room, then what needs it; nothing to do: see whether it could be."""
        batch, self._next = self._next, Batch()
        settling, publishing = batch.parts()
        settled = not settling or await self._write(file, settling)
        if publishing:
            await self._write(file, publishing)
        elif settled:
            await self._probe(file)

    async def _probe(self, file: QueueFile) -> None:
        try:
            await self._call(file.probe)
        except sqlite3.Error as error:
            self._meet(file, error)
        else:
            self._say("")

    async def _write(self, file: QueueFile, batch: Batch) -> bool:
        """Return whether it is written; if not, it is kept for the next time."""
        try:
            written = await self._call(lambda: file.write(batch))
        except (asyncio.CancelledError, QueueFileError):
            _give_up(batch)
            raise
        except sqlite3.Error as error:
            self._next = batch.before(self._next)
            self._meet(file, error)
            return False
        if batch.needs_room or not self.trouble:
            self._say("")
        _answer(batch.publishes, None)
        _answer(batch.posts, None)
        _answer(batch.settles, True)
        for removed, count in zip(batch.removals, written.removed, strict=True):
            _answer((removed,), count)
        for claim, found in zip(batch.claims, written.claimed, strict=True):
            claim.set_result(found)
        return True

    def _meet(self, file: QueueFile, error: sqlite3.Error) -> None:
        """Wait for better times, or give up. Raises QueueFileError."""
        if not is_passing(error):
            raise refusal(file.path, explained(error)) from error
        self._say(explained(error))

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._tell(trouble)

    async def _call(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _answer(waiting: Iterable[Future[T]], answer: T) -> None:
    for each in waiting:
        if not each.done():
            each.set_result(answer)


def _give_up(batch: Batch) -> None:
    """Answer who need not wait for another opening of the file."""
    _answer(batch.settles, False)
    for removed in batch.removals:
        if not removed.done():
            removed.set_exception(BrokerUnavailableError("the queue file was closed"))
