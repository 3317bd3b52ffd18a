"""Server-sent events: what happens on this daemon, and what happens to one task anywhere."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import msgspec
from msgspec.structs import asdict
from starlette.exceptions import HTTPException

from webhook_runner.api.answers import Stream
from webhook_runner.api.events import EventHub, Gap, Told, Wish
from webhook_runner.api.task_views import task_view
from webhook_runner.engine.task_control import TaskControl
from webhook_runner.errors import StoreUnavailableError, UnknownTaskError
from webhook_runner.task.instant import rfc_3339
from webhook_runner.task.record import TaskRecord
from webhook_runner.task.state import TaskState

EVENTS_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
ASK_SECONDS = 1.0
"""How often the store is asked for what other daemons did."""

_HEARTBEAT = b": still here\n\n"
_BREAK = re.compile(rb"\r\n|\r|\n")
_encode = msgspec.json.Encoder(enc_hook=str).encode


def event_stream(hub: EventHub, source: AsyncGenerator[bytes, None]) -> Stream:
    """Return the answer that tells what ``source`` gives, and asks proxies not to hold it back.

    Raises:
        HTTPException: so many listen already that there is no place (503).

    """
    if hub.is_full:
        raise HTTPException(503, "too many listen already; come again")
    return Stream(source, EVENTS_TYPE, {"X-Accel-Buffering": "no"})


def written(name: str, data: bytes, number: str = "") -> bytes:
    """Return an event as a browser reads it."""
    head = b"id: %s\n" % number.encode() if number else b""
    body = b"".join(b"data: %s\n" % line for line in _BREAK.split(data))
    return b"%sevent: %s\n%s\n" % (head, name.encode(), body)


def written_news(news: Told | Gap) -> bytes:
    if isinstance(news, Gap):
        return written("gap", _encode({"missed": news.missed}))
    return written(news.name, news.data, news.id)


async def all_events(hub: EventHub, wish: Wish, after: str) -> AsyncGenerator[bytes, None]:
    """Tell what happens on this daemon until nobody listens any more."""
    with hub.listen(wish, after) as listening:
        yield b": listening\n\n"
        while not listening.is_over:
            news = await listening.next(HEARTBEAT_SECONDS)
            if news is not None:
                yield written_news(news)
            elif not listening.is_over:
                yield _HEARTBEAT


@dataclass(slots=True)
class _Seen:
    """How far the listener of one task has been told of it."""

    run: int = 0
    attempt: int = 0
    state: TaskState | None = None

    def moves_to(self, run: int, attempt: int, state: TaskState) -> bool:
        """Whether this is news; it is told then."""
        if (run, attempt, state) == (self.run, self.attempt, self.state) or run < self.run:
            return False
        self.run, self.attempt, self.state = run, attempt, state
        return True


async def task_events(
    hub: EventHub, control: TaskControl, task_id: str, *, whole: bool
) -> AsyncGenerator[bytes, None]:
    """Tell the state a task is in, then what happens to it here or elsewhere, until its end."""
    with hub.listen(Wish(task_id)) as listening:
        seen, silence = _Seen(), 0.0
        told = await _now(control, task_id, seen, whole=whole)
        while not listening.is_over:
            if told:
                silence = 0.0
                yield told
            elif silence >= HEARTBEAT_SECONDS:
                silence = 0.0
                yield _HEARTBEAT
            if seen.state is not None and seen.state.is_final:
                return
            told = _heard(news := await listening.next(ASK_SECONDS), seen)
            if news is None:
                silence += ASK_SECONDS
                told = await _now(control, task_id, seen, whole=whole)


def _heard(news: Told | Gap | None, seen: _Seen) -> bytes:
    if isinstance(news, Told) and news.task is not None and news.state is not None:
        _, run, attempt = news.task
        seen.moves_to(run, attempt, news.state)
    return b"" if news is None else written_news(news)


async def _now(control: TaskControl, task_id: str, seen: _Seen, *, whole: bool) -> bytes:
    """Return how the task stands as an event, if that is news."""
    try:
        record: TaskRecord = await control.find(task_id)
    except (StoreUnavailableError, UnknownTaskError):
        return b""  # for now, or for good: what happens here is told all the same
    if not seen.moves_to(record.run, record.attempt, record.state):
        return b""
    view = {"at": rfc_3339(record.changed_at)} | asdict(task_view(record, whole=whole))
    del view["message"]
    return written("task.state", _encode(view))


def last_event_id(value: str | None) -> str:
    """Return the header ``Last-Event-ID`` if it can be one of ours."""
    return value if value and len(value) < 40 and value.isascii() else ""  # noqa: PLR2004 - ours are shorter
