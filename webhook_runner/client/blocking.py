"""The client that blocks."""

import ssl
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self, Unpack

from webhook_runner.client import listen, steer
from webhook_runner.client.answer import Accepted, Result
from webhook_runner.client.http import USUAL_URL, Door, Line
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

RECONNECT_SECONDS = 30.0


class Client:
    """Sends tasks to a daemon, tells how they are, and steers them; threads may share one.

    A task without an id is given one, so that it has the same id when it is sent again.

    Args:
        url: of the daemon's HTTP API.
        token: one of the daemon's ``[api] tokens``, where it asks for them.
        timeout: seconds for which something is asked again when no daemon answers, an answer is
            lost, or the daemon asks to wait; 0 for one try. ``send_many`` has it anew for
            every array of at most 1000 tasks. What must not be done twice (run, replay, purge,
            drop) is asked again only while it was certainly not done.
        headers: sent with every request, such as a token for a proxy before the daemon.
        tls: what to trust for https; else the certificates of the system.

    Raises:
        ValueError: ``url`` is no http or https URL, or ``token`` none that can be sent.

    Every method that asks the daemon raises ``ServiceUnavailableError`` when none answers,
    ``NotAllowedError`` for a missing or too weak token, ``UnexpectedAnswerError`` for what is no
    daemon, and ``NoStoreError`` where only a store knows the answer and there is none.

    """

    def __init__(
        self,
        url: str = USUAL_URL,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._line = Line(Door.of(url, token, headers, tls))
        self._timeout = timeout

    def send(self, task: str | Task, /, **wishes: Unpack[Wishes]) -> Accepted:
        """Send a task, given as one or as a url and its other fields; return its id and queue.

        Raises:
            InvalidTaskError: the task must be mended; field, reason and detail say how.
            ServiceUnavailableError: no daemon took it; ``unsent`` holds it with its id.

        """
        return only(self.send_many([as_task(task, wishes)]))

    def send_many(self, tasks: Iterable[Sendable]) -> list[Result]:
        """Send tasks in arrays of at most 1000; return what was said to each, in their order.

        A mapping is a message as the daemon reads it. An invalid task is a ``Rejected`` among
        the results and does not stop the others.

        Raises:
            ServiceUnavailableError: some got no answer; ``results`` and ``unsent`` tell which.

        """
        return self._line.have(send_all(tasks, self._timeout))

    def status(self, task_id: str, *, run: int | None = None, message: bool = False) -> TaskStatus:
        """Return how a task is: its latest run or the one given, with its message if wished.

        Raises:
            TaskNotFoundError: the store does not know it.

        """
        return self._line.have(steer.status(task_id, run, self._timeout, message=message))

    def attempts(self, task_id: str, *, run: int | None = None) -> list[AttemptInfo]:
        """Return the attempts of a run, in their order. Raises TaskNotFoundError."""
        return self._line.have(steer.attempts(task_id, run, self._timeout))

    def tasks(
        self,
        *,
        state: str | Collection[str] = (),
        queue: str = "",
        since: Instant | None = None,
        until: Instant | None = None,
        limit: int | None = None,
    ) -> Iterator[TaskStatus]:
        """Iterate over runs of tasks, youngest first, asking for page after page.

        ``since`` and ``until`` (exclusive) bound when they were created; ``limit`` is how many.
        """
        return self._line.tell(steer.tasks(state, queue, since, until, limit, self._timeout))

    def cancel(self, task_id: str, *, force: bool = False) -> Cancelled:
        """Cancel a task; again is the same as once.

        With ``force`` also one that the store does not know: it may yet come.

        Raises:
            TaskNotFoundError: the store does not know it.
            ConflictError: it has ended.

        """
        return self._line.have(steer.cancel(task_id, self._timeout, force=force))

    def cancel_many(self, task_ids: Iterable[str]) -> list[CancelResult]:
        """Cancel tasks; return what came of each, in their order."""
        return self._line.have(steer.cancel_many(task_ids, self._timeout))

    def run(self, task_id: str) -> TaskStatus:
        """Let a scheduled task run now. Raises TaskNotFoundError, ConflictError."""
        return self._line.have(steer.run(task_id, self._timeout))

    def replay(self, task_id: str) -> Rerun:
        """Let a task that has ended run anew. Raises TaskNotFoundError, ConflictError."""
        return self._line.have(steer.replay(task_id, self._timeout))

    def wait(self, task_id: str, timeout: float | None = None) -> TaskStatus:
        """Return how a task has ended, once it has; ``timeout`` is in seconds, None for ever.

        Raises:
            NotEndedError: it has not in that time; a ``TimeoutError``.
            TaskNotFoundError: the store does not know it.

        """
        return self._line.have(steer.wait(task_id, timeout, self._timeout))

    def watch(self, task_id: str, *, reconnect: float = RECONNECT_SECONDS) -> Iterator[TaskEvent]:
        """Iterate over what happens to a task, as it happens, until it has ended.

        A stream that breaks off is taken up again for ``reconnect`` seconds.
        """
        return self._line.tell(listen.watch(task_id, self._timeout, reconnect))

    def events(
        self,
        *,
        queue: str = "",
        state: str | Collection[str] = (),
        reconnect: float = RECONNECT_SECONDS,
    ) -> Iterator[TaskEvent]:
        """Iterate over what happens, for ever; see ``watch``."""
        return self._line.tell(listen.events(queue, state, self._timeout, reconnect))

    def queues(self) -> list[QueueInfo]:
        """Return all queues, by name."""
        return self._line.have(steer.queues(self._timeout))

    def queue(self, name: str) -> QueueInfo:
        """Return how a queue is. Raises QueueNotFoundError, as all that names a queue."""
        return self._line.have(steer.queue(name, self._timeout))

    def pause(self, name: str) -> QueueInfo:
        """Let a queue start no more attempts until it is resumed, also after a restart."""
        return self._line.have(steer.pause(name, self._timeout))

    def resume(self, name: str) -> QueueInfo:
        """Let a paused queue go on."""
        return self._line.have(steer.resume(name, self._timeout))

    def change(self, name: str, /, **limits: float | str | None) -> QueueInfo:
        """Change limits at run time: ``concurrency=5, rate="10/s"``; None: as configured."""
        return self._line.have(steer.change(name, limits, self._timeout))

    def purge(self, name: str, *, scheduled: bool = False) -> Purged:
        """Throw away what is ready in a queue, and with ``scheduled`` what waits for its time."""
        return self._line.have(steer.purge(name, self._timeout, scheduled=scheduled))

    def destinations(self, *, state: str = "") -> Iterator[DestinationInfo]:
        """Iterate over the hosts and ports that the daemon calls, by name; of a state if given."""
        return self._line.tell(steer.destinations(state, self._timeout))

    def open_destination(self, destination: str) -> DestinationInfo:
        """Have ``"host:port"`` called no more until it is closed, also after a restart."""
        return self._line.have(steer.open_destination(destination, self._timeout))

    def close_destination(self, destination: str, *, keep: bool = False) -> DestinationInfo:
        """Have it called again; with ``keep`` from now on, whatever it answers."""
        return self._line.have(steer.close_destination(destination, self._timeout, keep=keep))

    def dead(self, queue: str, **wanted: Unpack[LetterWishes]) -> "Letters":
        """Return the dead letters of a queue that fit; nothing is asked for yet."""
        return Letters(self._line, Drawer("dead", queue, LetterFilter(**wanted), self._timeout))

    def invalid(self, queue: str, **wanted: Unpack[LetterWishes]) -> "Letters":
        """Return the invalid messages of a queue that fit; nothing is asked for yet."""
        return Letters(self._line, Drawer("invalid", queue, LetterFilter(**wanted), self._timeout))

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Letters:
    """What was put aside in a queue and fits a filter: ``for letter in client.dead("mail")``."""

    def __init__(self, line: Line, drawer: Drawer) -> None:
        self._line = line
        self._drawer = drawer

    def __iter__(self) -> Iterator[LetterInfo]:
        return self.list()

    def list(self, limit: int | None = None) -> Iterator[LetterInfo]:
        """Iterate over them, without their messages."""
        return self._line.tell(self._drawer.list(limit))

    def show(self, letter: str) -> LetterInfo:
        """Return one with its message. Raises LetterNotFoundError."""
        return self._line.have(self._drawer.show(letter))

    def export(self) -> Iterator[LetterInfo]:
        """Iterate over them with their messages."""
        return self._line.tell(self._drawer.export())

    def drop(self, *, everything: bool = False) -> int:
        """Delete them; return how many. Without a filter ``everything`` must be true."""
        return self._line.have(self._drawer.drop(everything=everything))

    def replay(
        self,
        *,
        everything: bool = False,
        rate: str = "",
        dry_run: bool = False,
        edit: Mapping[str, object] | bytes | None = None,
        to_queue: str = "",
    ) -> Iterator[Replayed]:
        """Make tasks of them again; iterate over what becomes of each, at last over the total.

        Nothing happens before the first is asked for; who stops iterating stops the replay.

        Args:
            everything: must be true without a filter.
            rate: how fast, such as ``"10/s"``; else as fast as they can be published.
            dry_run: only look what would be done.
            edit: what to change in the messages, a merge patch of RFC 7396; bytes are JSON.
            to_queue: where to send them, instead of where they were.

        """
        return self._line.tell(
            self._drawer.replay(
                everything=everything, rate=rate, dry_run=dry_run, edit=edit, to_queue=to_queue
            )
        )
