"""What is asked of tasks and queues, and what is made of the answers; no socket, no sleep."""

import math
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import quote, urlencode

import msgspec

from webhook_runner.client.answer import Problem, Reply
from webhook_runner.client.ask import Ask, Talk, answered
from webhook_runner.client.failure import (
    MissingError,
    NotEndedError,
    QueueNotFoundError,
    TaskNotFoundError,
)
from webhook_runner.client.info import (
    AttemptInfo,
    Cancelled,
    CancelResult,
    DestinationInfo,
    NotCancelled,
    Purged,
    QueueInfo,
    Rerun,
    TaskStatus,
)
from webhook_runner.client.reading import convert, read_items, read_one
from webhook_runner.client.stream import Give, Said
from webhook_runner.client.task import Instant

PAGE = 100
MOST_IDS = 1000
_MOST_DESTINATIONS = 1000

# A task that was just sent may not be in the store yet.
_UNKNOWN_SECONDS = 2.0
_LEAST_SECONDS = 0.01
_FIRST_LOOK_SECONDS = 0.05
_LONGEST_LOOK_SECONDS = 2.0


def place(*parts: str, **query: str | float | None) -> str:
    """Return a target: its path of these parts, its query without what is None or empty."""
    path = "/v1/" + "/".join(quote(part, safe="") for part in parts)
    given = {name: value for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(given)}" if given else path


def joined(words: str | Collection[str]) -> str:
    """Return one word, or several with commas."""
    return words if isinstance(words, str) else ",".join(words)


def instant(at: Instant | None) -> str:
    """Return a time as a query has it. Raises ValueError for a datetime without a time zone."""
    if at is None or isinstance(at, str):
        return at or ""
    if isinstance(at, datetime) and at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no time zone; write datetime.now(UTC)")
    when = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def status(
    task_id: str,
    run: int | None,
    seconds: float,
    *,
    message: bool = False,
    pause: float = 0.0,
) -> Talk[TaskStatus]:
    target = place("tasks", task_id, run=run, message="true" if message else None)
    ask = Ask("GET", target, pause=pause)
    reply = yield from answered(ask, seconds, missing=TaskNotFoundError)
    return read_one(reply, TaskStatus)


def attempts(task_id: str, run: int | None, seconds: float) -> Talk[list[AttemptInfo]]:
    ask = Ask("GET", place("tasks", task_id, "attempts", run=run))
    reply = yield from answered(ask, seconds, missing=TaskNotFoundError)
    return read_items(reply, AttemptInfo)[0]


def tasks(
    state: str | Collection[str],
    queue: str,
    since: Instant | None,
    until: Instant | None,
    limit: int | None,
    seconds: float,
) -> Generator[Ask | Give[TaskStatus], Said, None]:
    """Give the runs of tasks, youngest first, page by page."""
    left, cursor = limit, ""
    while left is None or left > 0:
        target = place(
            "tasks",
            state=joined(state),
            queue=queue,
            since=instant(since),
            until=instant(until),
            limit=PAGE if left is None else min(PAGE, left),
            cursor=cursor,
        )
        reply = yield from asked(answered(Ask("GET", target), seconds, missing=MissingError))
        items, cursor = read_items(reply, TaskStatus)
        for each in items:
            yield Give(each)
        left = None if left is None else left - len(items)
        if not cursor:
            return


def asked(talk: Talk[Reply]) -> Generator[Ask, Said, Reply]:
    """Have a talk in the middle of a story, in which more things than answers are said."""
    try:
        ask = next(talk)
        while True:
            said = yield ask
            if said is None or isinstance(said, bytes):
                raise TypeError(f"{said!r} is no answer to a request")
            ask = talk.send(said)
    except StopIteration as end:
        reply: Reply = end.value
        return reply


def cancel(task_id: str, seconds: float, *, force: bool) -> Talk[Cancelled]:
    target = place("tasks", task_id, force="true" if force else None)
    reply = yield from answered(Ask("DELETE", target), seconds, missing=TaskNotFoundError)
    return read_one(reply, Cancelled)


def cancel_many(task_ids: Iterable[str], seconds: float) -> Talk[list[CancelResult]]:
    results: list[CancelResult] = []
    rest = iter(task_ids)
    while some := list(islice(rest, MOST_IDS)):
        ask = Ask("POST", place("tasks", "cancel"), msgspec.json.encode({"ids": some}))
        reply = yield from answered(ask, seconds, missing=TaskNotFoundError)
        found, _ = read_items(reply, dict[str, object], "results")
        results += (_cancelled(each, reply.address) for each in found)
    return results


def _cancelled(found: Mapping[str, object], address: str) -> CancelResult:
    if found.get("problem") is None:
        return convert(found, Cancelled, address)
    problem = convert(found["problem"], Problem, address)
    return NotCancelled(str(found.get("id", "")), problem)


def run(task_id: str, seconds: float) -> Talk[TaskStatus]:
    ask = Ask("POST", place("tasks", task_id, "run"))
    return read_one((yield from _change(ask, seconds, TaskNotFoundError)), TaskStatus)


def replay(task_id: str, seconds: float) -> Talk[Rerun]:
    ask = Ask("POST", place("tasks", task_id, "replay"))
    return read_one((yield from _change(ask, seconds, TaskNotFoundError)), Rerun)


def wait(task_id: str, limit: float | None, seconds: float) -> Talk[TaskStatus]:
    """Look again and again, more and more rarely, until the task has ended.

    Raises:
        NotEndedError: it has not within ``limit`` seconds.

    """
    begun, found = time.monotonic(), None
    most = math.inf if limit is None else limit
    for pause in _looks():
        passed = time.monotonic() - begun
        left = max(most - passed, _LEAST_SECONDS)
        try:
            found = yield from status(task_id, None, min(seconds, left), pause=min(pause, left))
        except TaskNotFoundError:
            if found is not None or passed > _UNKNOWN_SECONDS:
                raise
        if found is not None and found.ended:
            return found
        if passed >= most:
            break
    raise NotEndedError(task_id, most, found)


def _looks() -> Iterator[float]:
    """Yield the waits before each look, for ever."""
    yield 0.0
    pause = _FIRST_LOOK_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)


def queues(seconds: float) -> Talk[list[QueueInfo]]:
    reply = yield from answered(Ask("GET", place("queues")), seconds, missing=QueueNotFoundError)
    return read_items(reply, QueueInfo)[0]


def queue(name: str, seconds: float) -> Talk[QueueInfo]:
    return (yield from _queue(Ask("GET", place("queues", name)), seconds))


def pause(name: str, seconds: float) -> Talk[QueueInfo]:
    return (yield from _queue(Ask("POST", place("queues", name, "pause")), seconds))


def resume(name: str, seconds: float) -> Talk[QueueInfo]:
    return (yield from _queue(Ask("POST", place("queues", name, "resume")), seconds))


def change(name: str, limits: Mapping[str, object], seconds: float) -> Talk[QueueInfo]:
    if not limits:
        raise ValueError("name a limit to change, such as concurrency=5")
    ask = Ask("PATCH", place("queues", name), msgspec.json.encode(limits))
    return (yield from _queue(ask, seconds))


def purge(name: str, seconds: float, *, scheduled: bool) -> Talk[Purged]:
    target = place("queues", name, "purge", scheduled="true" if scheduled else None)
    return read_one((yield from _change(Ask("POST", target), seconds, QueueNotFoundError)), Purged)


def destinations(state: str, seconds: float) -> Generator[Ask | Give[DestinationInfo], Said, None]:
    """Give the destinations that a daemon knows, by name, page by page."""
    cursor = ""
    while True:
        target = place("destinations", state=state, limit=_MOST_DESTINATIONS, cursor=cursor)
        reply = yield from asked(answered(Ask("GET", target), seconds, missing=MissingError))
        items, cursor = read_items(reply, DestinationInfo)
        for each in items:
            yield Give(each)
        if not cursor:
            return


def open_destination(name: str, seconds: float) -> Talk[DestinationInfo]:
    return (yield from _destination(place("destinations", name, "open"), seconds))


def close_destination(name: str, seconds: float, *, keep: bool) -> Talk[DestinationInfo]:
    target = place("destinations", name, "close", keep="true" if keep else None)
    return (yield from _destination(target, seconds))


def _destination(target: str, seconds: float) -> Talk[DestinationInfo]:
    reply = yield from answered(Ask("POST", target), seconds, missing=MissingError)
    return read_one(reply, DestinationInfo)


def _queue(ask: Ask, seconds: float) -> Talk[QueueInfo]:
    """Ask for what may be asked for twice, and tells how the queue is then."""
    reply = yield from answered(ask, seconds, missing=QueueNotFoundError)
    return read_one(reply, QueueInfo)


def _change(ask: Ask, seconds: float, missing: type[MissingError]) -> Talk[Reply]:
    """Ask for what must not be done twice."""
    return (yield from answered(ask, seconds, missing=missing, repeatable=False))
