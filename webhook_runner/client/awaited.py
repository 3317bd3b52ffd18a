"""The client that is awaited: the same as the one that blocks, word for word."""

import ssl
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from types import TracebackType
from typing import Self, Unpack

from webhook_runner.client import listen, steer
from webhook_runner.client.answer import Accepted, Result
from webhook_runner.client.blocking import RECONNECT_SECONDS
from webhook_runner.client.http import USUAL_URL, AsyncLine, Door
from webhook_runner.client.info import (
    AttemptInfo,
    Cancelled,
    CancelResult,
    DestinationInfo,
    LetterInfo,
    Purged,
    QueueInfo,
    Rerun,
    TaskEvent,
    TaskStatus,
)
from webhook_runner.client.letters import Drawer, LetterFilter, LetterWishes, Replayed
from webhook_runner.client.talk import only, send_all
from webhook_runner.client.task import Instant, Sendable, Task, Wishes, as_task


class AsyncClient:
    """The same as ``Client``, awaited: ``async with AsyncClient() as client``."""

    def __init__(
        self,
        url: str = USUAL_URL,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._line = AsyncLine(Door.of(url, token, headers, tls))
        self._timeout = timeout

    async def send(self, task: str | Task, /, **wishes: Unpack[Wishes]) -> Accepted:
        """Send a task, given as one or as a url and its other fields; see ``Client.send``."""
        return only(await self.send_many([as_task(task, wishes)]))

    async def send_many(self, tasks: Iterable[Sendable]) -> list[Result]:
        """Send tasks in arrays of at most 1000; see ``Client.send_many``."""
        return await self._line.have(send_all(tasks, self._timeout))

    async def status(
        self, task_id: str, *, run: int | None = None, message: bool = False
    ) -> TaskStatus:
        """Return how a task is; see ``Client.status``."""
        return await self._line.have(steer.status(task_id, run, self._timeout, message=message))

    async def attempts(self, task_id: str, *, run: int | None = None) -> list[AttemptInfo]:
        """Return the attempts of a run, in their order; see ``Client.attempts``."""
        return await self._line.have(steer.attempts(task_id, run, self._timeout))

    def tasks(
        self,
        *,
        state: str | Collection[str] = (),
        queue: str = "",
        since: Instant | None = None,
        until: Instant | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[TaskStatus]:
        """Iterate over runs of tasks, youngest first; see ``Client.tasks``."""
        return self._line.tell(steer.tasks(state, queue, since, until, limit, self._timeout))

    async def cancel(self, task_id: str, *, force: bool = False) -> Cancelled:
        """Cancel a task; see ``Client.cancel``."""
        return await self._line.have(steer.cancel(task_id, self._timeout, force=force))

    async def cancel_many(self, task_ids: Iterable[str]) -> list[CancelResult]:
        """Cancel tasks; see ``Client.cancel_many``."""
        return await self._line.have(steer.cancel_many(task_ids, self._timeout))

    async def run(self, task_id: str) -> TaskStatus:
        """Let a scheduled task run now; see ``Client.run``."""
        return await self._line.have(steer.run(task_id, self._timeout))

    async def replay(self, task_id: str) -> Rerun:
        """Let a task that has ended run anew; see ``Client.replay``."""
        return await self._line.have(steer.replay(task_id, self._timeout))

    async def wait(
        self,
        task_id: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the same signature as ``Client.wait``
    ) -> TaskStatus:
        """Return how a task has ended, once it has; see ``Client.wait``."""
        return await self._line.have(steer.wait(task_id, timeout, self._timeout))

    def watch(
        self, task_id: str, *, reconnect: float = RECONNECT_SECONDS
    ) -> AsyncIterator[TaskEvent]:
        """Iterate over what happens to a task; see ``Client.watch``."""
        return self._line.tell(listen.watch(task_id, self._timeout, reconnect))

    def events(
        self,
        *,
        queue: str = "",
        state: str | Collection[str] = (),
        reconnect: float = RECONNECT_SECONDS,
    ) -> AsyncIterator[TaskEvent]:
        """Iterate over what happens, for ever; see ``Client.events``."""
        return self._line.tell(listen.events(queue, state, self._timeout, reconnect))

    async def queues(self) -> list[QueueInfo]:
        """Return all queues, by name; see ``Client.queues``."""
        return await self._line.have(steer.queues(self._timeout))

    async def queue(self, name: str) -> QueueInfo:
        """Return how a queue is; see ``Client.queue``."""
        return await self._line.have(steer.queue(name, self._timeout))

    async def pause(self, name: str) -> QueueInfo:
        """Let a queue start no more attempts; see ``Client.pause``."""
        return await self._line.have(steer.pause(name, self._timeout))

    async def resume(self, name: str) -> QueueInfo:
        """Let a paused queue go on; see ``Client.resume``."""
        return await self._line.have(steer.resume(name, self._timeout))

    async def change(self, name: str, /, **limits: float | str | None) -> QueueInfo:
        """Change limits at run time: ``concurrency=5, rate="10/s"``; see ``Client.change``."""
        return await self._line.have(steer.change(name, limits, self._timeout))

    async def purge(self, name: str, *, scheduled: bool = False) -> Purged:
        """Throw away what is in a queue; see ``Client.purge``."""
        return await self._line.have(steer.purge(name, self._timeout, scheduled=scheduled))

    def destinations(self, *, state: str = "") -> AsyncIterator[DestinationInfo]:
        """Iterate over the hosts and ports that it calls; see ``Client.destinations``."""
        return self._line.tell(steer.destinations(state, self._timeout))

    async def open_destination(self, destination: str) -> DestinationInfo:
        """Have ``"host:port"`` called no more; see ``Client.open_destination``."""
        return await self._line.have(steer.open_destination(destination, self._timeout))

    async def close_destination(self, destination: str, *, keep: bool = False) -> DestinationInfo:
        """Have it called again; see ``Client.close_destination``."""
        talk = steer.close_destination(destination, self._timeout, keep=keep)
        return await self._line.have(talk)

    def dead(self, queue: str, **wanted: Unpack[LetterWishes]) -> "AsyncLetters":
        """Return the dead letters of a queue that fit; see ``Client.dead``."""
        return AsyncLetters(
            self._line, Drawer("dead", queue, LetterFilter(**wanted), self._timeout)
        )

    def invalid(self, queue: str, **wanted: Unpack[LetterWishes]) -> "AsyncLetters":
        """Return the invalid messages of a queue that fit; see ``Client.invalid``."""
        return AsyncLetters(
            self._line, Drawer("invalid", queue, LetterFilter(**wanted), self._timeout)
        )

    async def close(self) -> None:
        """Close the connections; see ``Client.close``."""
        await self._line.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncLetters:
    """The same as ``Letters``, awaited: ``async for letter in client.dead("mail")``."""

    def __init__(self, line: AsyncLine, drawer: Drawer) -> None:
        self._line = line
        self._drawer = drawer

    def __aiter__(self) -> AsyncIterator[LetterInfo]:
        return self.list()

    def list(self, limit: int | None = None) -> AsyncIterator[LetterInfo]:
        """Iterate over them, without their messages; see ``Letters.list``."""
        return self._line.tell(self._drawer.list(limit))

    async def show(self, letter: str) -> LetterInfo:
        """Return one with its message; see ``Letters.show``."""
        return await self._line.have(self._drawer.show(letter))

    def export(self) -> AsyncIterator[LetterInfo]:
        """Iterate over them with their messages; see ``Letters.export``."""
        return self._line.tell(self._drawer.export())

    async def drop(self, *, everything: bool = False) -> int:
        """Delete them; see ``Letters.drop``."""
        return await self._line.have(self._drawer.drop(everything=everything))

    def replay(
        self,
        *,
        everything: bool = False,
        rate: str = "",
        dry_run: bool = False,
        edit: Mapping[str, object] | bytes | None = None,
        to_queue: str = "",
    ) -> AsyncIterator[Replayed]:
        """Make tasks of them again; see ``Letters.replay``."""
        return self._line.tell(
            self._drawer.replay(
                everything=everything, rate=rate, dry_run=dry_run, edit=edit, to_queue=to_queue
            )
        )
