"""What the HTTP API says to tasks: taken, refused for good, or no answer yet."""

import email.utils
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

_MOST_QUOTED = 200
_TAKEN = frozenset({200, 201, 202})
_REFUSED = frozenset({400, 409, 413, 422})
# Between us and the daemon there may be a proxy, which says in its own words that it is down.
_BUSY = frozenset({408, 429, 502, 503, 504})
_NOT_TAKEN = frozenset({408, 429})  # the others may be said after a task was kept


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a task: which field, a short word for counting, and in full."""

    field: str = ""
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request or a task was refused: a problem document of RFC 9457."""

    status: int = 0
    title: str = ""
    detail: str = ""
    errors: tuple[Fault, ...] = ()

    @property
    def fault(self) -> Fault:
        """The first fault; the problem itself where it names none."""
        return self.errors[0] if self.errors else Fault("", f"status_{self.status}", self.detail)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A task that was taken: the daemon has it on disk, or its broker has confirmed it."""

    id: str
    queue: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A task that its sender must mend; it was not taken."""

    id: str
    problem: Problem


Result = Accepted | Rejected


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A task of which it is not known that it was taken. ``retry_after`` is seconds.

    ``again`` tells whether repeating may help, ``in_doubt`` whether it may have been taken.
    """

    detail: str
    again: bool = True
    in_doubt: bool = False
    retry_after: float | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came from ``address``, header names in lower case."""

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Item:
    status: int
    id: str = ""
    queue: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class _Items:
    results: list[_Item]


_ITEMS = msgspec.json.Decoder(_Items)
_PROBLEM = msgspec.json.Decoder(Problem)


def read_reply(reply: Reply, ids: Sequence[str]) -> list[Result | Unanswered]:
    """Return what was said to each of the tasks of one array, in its order."""
    try:
        items = _ITEMS.decode(reply.body).results
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [_of_all(reply, task_id) for task_id in ids]
    if len(items) != len(ids):
        detail = f"{reply.address} answered {len(items)} results to {len(ids)} tasks"
        return [Unanswered(detail, again=False, in_doubt=True)] * len(ids)
    return [_of_one(reply, item, task_id) for item, task_id in zip(items, ids, strict=True)]


def _of_one(reply: Reply, item: _Item, task_id: str) -> Result | Unanswered:
    if item.status in _TAKEN and item.id:
        return Accepted(item.id, item.queue)
    return _not_taken(reply, item.status, item.problem or Problem(item.status), task_id)


def _of_all(reply: Reply, task_id: str) -> Result | Unanswered:
    try:
        problem = _PROBLEM.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = Problem(detail=reply.body[:_MOST_QUOTED].decode(errors="replace"))
    return _not_taken(reply, reply.status, problem, task_id)


def _not_taken(reply: Reply, status: int, problem: Problem, task_id: str) -> Rejected | Unanswered:
    if status in _REFUSED:
        return Rejected(task_id, problem)
    said = f": {problem.detail or problem.title}".rstrip(": ")
    if status in _BUSY:
        detail = f"the daemon at {reply.address} cannot take tasks now ({status}){said}"
        wait = _seconds(reply.headers.get("retry-after", ""))
        return Unanswered(
            detail, in_doubt=status not in _NOT_TAKEN, retry_after=wait, problem=problem
        )
    detail = f"{reply.address} answered {status}{said}; is it the HTTP API of webhook_runner?"
    return Unanswered(detail, again=False, in_doubt=status not in range(300, 500), problem=problem)


def _seconds(retry_after: str) -> float | None:
    """Return the wait meant by a Retry-After, in seconds or as a date (RFC 9110 §10.2.3)."""
    text = retry_after.strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
