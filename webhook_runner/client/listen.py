"""Events as they happen: a stream that is taken up again where it broke off."""

import time
from collections.abc import Collection, Generator
from dataclasses import replace
from datetime import datetime

import msgspec

from webhook_runner.client.answer import Reply, Unanswered
from webhook_runner.client.ask import Ask, Patience
from webhook_runner.client.failure import (
    MissingError,
    QueueNotFoundError,
    TaskNotFoundError,
    failure,
)
from webhook_runner.client.info import TaskEvent
from webhook_runner.client.reading import Members, members
from webhook_runner.client.steer import joined, place
from webhook_runner.client.stream import Give, More, Open, Said, ServerEvent, ServerEvents, opened

_SILENT_SECONDS = 60.0  # the daemon gives a sign of life every 15 s
_GONE = 204
_LAST_ID = "Last-Event-ID"


Listening = Generator[Open | More | Give[TaskEvent], Said, None]


def watch(task_id: str, seconds: float, reconnect: float) -> Listening:
    """Give what happens to a task, until it has ended.

    Raises:
        TaskNotFoundError: nobody knows it.
        ServiceUnavailableError: the stream broke, and could not be taken up again.

    """
    ask = Ask("GET", place("tasks", task_id, "events"), limit=_SILENT_SECONDS)
    yield from _listen(ask, seconds, reconnect, TaskNotFoundError, until=task_id)


def events(queue: str, state: str | Collection[str], seconds: float, reconnect: float) -> Listening:
    """Give what happens in all queues, or one, for ever. Raises as ``watch`` does."""
    target = place("events", queue=queue, state=joined(state))
    yield from _listen(
        Ask("GET", target, limit=_SILENT_SECONDS), seconds, reconnect, QueueNotFoundError
    )


def _listen(
    ask: Ask, seconds: float, reconnect: float, missing: type[MissingError], until: str = ""
) -> Listening:
    last_id, patience = "", Patience(reconnect)
    head = yield from opened(ask, Patience(seconds), missing=missing)
    while True:
        if head.status == _GONE:
            return
        begun = time.monotonic()
        last_id, met = yield from _read(head, last_id, until)
        if met is None:
            return
        # A stream that lived for a while was a success; one that always ends at once is none.
        if last_id != ask.headers.get(_LAST_ID, "") or time.monotonic() > begun + 1:
            patience = Patience(reconnect)
        pause = patience.pause(met.retry_after or 0.0)
        if pause is None:
            raise failure(met)
        ask = replace(ask, pause=pause, headers={_LAST_ID: last_id} if last_id else {})
        head = yield from opened(ask, patience, missing=missing)


def _read(
    head: Reply, last_id: str, until: str
) -> Generator[More | Give[TaskEvent], Said, tuple[str, Unanswered | None]]:
    """Read one stream; return the last id, and why it ended, None when it need not go on."""
    parts = ServerEvents(last_id)
    while piece := (yield More()):
        if not isinstance(piece, bytes):
            return parts.last_id, piece if isinstance(piece, Unanswered) else None
        for each in parts.feed(piece):
            event = _event(each, head.address)
            yield Give(event)
            if until and event.ended and event.id == until:
                return parts.last_id, None
    return parts.last_id, Unanswered(f"{head.address} ended the stream of events")


def _event(told: ServerEvent, address: str) -> TaskEvent:
    found = members(told.data, address)
    return TaskEvent(
        told.name,
        id=_text(found, "id"),
        run=_number(found, "run"),
        queue=_text(found, "queue"),
        state=_text(found, "state"),
        attempt=_number(found, "attempt"),
        at=_time(found),
        sequence=told.id,
        more=found,
    )


def _text(found: Members, name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _number(found: Members, name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) else 0


def _time(found: Members) -> datetime | None:
    try:
        return msgspec.convert(found.get("at"), datetime)
    except msgspec.ValidationError:
        return None
