"""What happens, for those who listen: events of this daemon, each listener at its own pace."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

import msgspec

from webhook_runner.observe.line import iso
from webhook_runner.observe.lines import Renderer
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RetryScheduled,
    TaskAccepted,
    TaskCancelled,
    TaskFailed,
    TaskForwarded,
    TaskReceived,
    TaskReleased,
    TaskScheduled,
    TaskSucceeded,
)
from webhook_runner.task.model import Envelope
from webhook_runner.task.state import TaskState

MOST_LISTENERS = 100
_WAITING = 1000
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Told:
    """One event as listeners see it; ``data`` is its JSON, ``id`` names it among all."""

    id: str
    name: str
    data: bytes
    queue: str = ""
    state: TaskState | None = None
    task: tuple[str, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """So many events were lost before the next; None: nobody knows how many."""

    missed: int | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a listener wants to hear; empty means anything."""

    task_id: str = ""
    queue: str = ""
    states: frozenset[TaskState] = frozenset()

    def fits(self, told: Told) -> bool:
        """Whether it is one of those."""
        if self.task_id and (told.task is None or told.task[0] != self.task_id):
            return False
        if self.queue and told.queue != self.queue:
            return False
        return not self.states or told.state in self.states


def state_after(event: Event) -> TaskState | None:
    """Return the state that an event leaves its task in, None when it changes none."""
    match event:
        case TaskFailed(expired=expired):
            return TaskState.EXPIRED if expired else TaskState.FAILED
        case AttemptStarted() | AttemptFinished():
            return TaskState.RUNNING
        case _:
            return _AFTER.get(type(event))


_AFTER: dict[type[Event], TaskState] = {
    TaskAccepted: TaskState.READY,
    TaskReceived: TaskState.READY,
    TaskForwarded: TaskState.READY,
    TaskReleased: TaskState.READY,
    TaskScheduled: TaskState.SCHEDULED,
    RetryScheduled: TaskState.SCHEDULED,
    TaskSucceeded: TaskState.SUCCEEDED,
    TaskCancelled: TaskState.CANCELLED,
}


class Listening:
    """One listener's place: what waits for it, and how much it has missed."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self._waiting: deque[Told] = deque()
        self._missed: int | None = 0
        self._came = asyncio.Event()
        self.is_over = False

    def push(self, told: Told) -> None:
        """Let it hear this; who is slow loses the oldest."""
        if len(self._waiting) == _WAITING:
            self._waiting.popleft()
            self._missed = None if self._missed is None else self._missed + 1
        self._waiting.append(told)
        self._came.set()

    def lose_count(self) -> None:
        """Note that nobody knows what it missed."""
        self._missed = None
        self._came.set()

    def end(self) -> None:
        self.is_over = True
        self._came.set()

    async def next(self, seconds: float) -> Told | Gap | None:
        """Return what comes next, or None after ``seconds`` of silence and at the end."""
        if not (self._waiting or self._missed != 0 or self.is_over):
            self._came.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._came.wait()
            except TimeoutError:
                return None
        if self.is_over:
            return None
        if self._missed != 0:
            missed, self._missed = self._missed, 0
            return Gap(missed)
        return self._waiting.popleft()


class EventHub:
    """An observer that passes events on. It costs nothing while nobody listens.

    ``on_listening`` is told when the first one comes to listen, and when the last one has gone.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.on_listening: Callable[[bool], None] = _unheeded
        self._now = now
        self._listeners: list[Listening] = []
        self._remembered: deque[Told] = deque(maxlen=_REMEMBERED)
        self._render = Renderer().line
        self._era = uuid4().hex[:8]
        self._number = 0
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        """Whether no further listener is taken."""
        return len(self._listeners) >= MOST_LISTENERS

    def notice(self, event: Event) -> None:
        if self._listeners:
            self.pass_on(self._told(event))

    def pass_on(self, told: Told) -> None:
        """Tell an event that is rendered already; here it gets its id."""
        if not self._listeners:
            return
        self._number += 1
        told = replace(told, id=f"{self._era}-{self._number}")
        self._remembered.append(told)
        for listener in self._listeners:
            if listener.wish.fits(told):
                listener.push(told)

    def lose_count(self) -> None:
        """Note that nobody knows what all who listen have missed."""
        for listener in self._listeners:
            listener.lose_count()

    @contextmanager
    def listen(self, wish: Wish, after: str = "") -> Iterator[Listening]:
        """Give a place; ``after`` is the id heard last, from which it goes on if that is known."""
        listener = Listening(wish)
        if self._is_closed:
            listener.end()
        if after:
            self._recall(listener, after)
        self._listeners.append(listener)
        if len(self._listeners) == 1:
            self.on_listening(True)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)
            if not self._listeners:
                self._remembered.clear()
                self.on_listening(False)

    def close(self) -> None:
        """End all listening, now and from now on."""
        self._is_closed = True
        for listener in self._listeners:
            listener.end()

    def _recall(self, listener: Listening, after: str) -> None:
        ids = [told.id for told in self._remembered]
        if after not in ids:
            listener.lose_count()
            return
        for told in list(self._remembered)[ids.index(after) + 1 :]:
            if listener.wish.fits(told):
                listener.push(told)

    def _told(self, event: Event) -> Told:
        line, state = self._render(event), state_after(event)
        fields: dict[str, object] = {"at": iso(self._now())}
        envelope = getattr(event, "envelope", None)
        task, queue = None, getattr(event, "queue", "")
        if isinstance(envelope, Envelope):
            fields |= {"id": envelope.task.id, "run": envelope.run, "queue": envelope.task.queue}
            fields |= {"state": state, "attempt": envelope.attempt}
            queue = envelope.task.queue
            # A record counts attempts when they begin, an envelope names the one that comes next.
            has_begun = state is not None and (state is TaskState.RUNNING or state.is_final)
            task = (envelope.task.id, envelope.run, envelope.attempt - (not has_begun))
        rest = {name: value for name, value in line.fields.items() if name != "task_id"}
        data = msgspec.json.encode(fields | rest, enc_hook=str)
        return Told("", line.name, data, queue, state, task)


def _unheeded(_listening: bool) -> None:  # noqa: FBT001 - a callback
    return
