"""What the HTTP API says to tasks: taken, refused for good, or no answer yet."""

import email.utils
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

_MOST_QUOTED = 200
_TAKEN = frozenset({200, 201, 202})
_REFUSED = frozenset({400, 409, 413, 422})
# Between us and the daemon there may be a proxy, which says in its own words that it is down.
_BUSY = frozenset({408, 429, 502, 503, 504})
_NOT_TAKEN = frozenset({408, 429})  # the others may be said after a task was kept
_DENIED = frozenset({401, 403})
_OURS = frozenset({*range(400, 500), 501}) - _DENIED - _BUSY
_PROBLEM_TYPE = "application/problem+json"


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
    """A task that was taken: the daemon has it on disk, or its broker has confirmed it.

    ``duplicate``: it had been taken before, under the same id and with the same content.
    """

    id: str
    queue: str
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A task that its sender must mend; it was not taken."""

    id: str
    problem: Problem


Result = Accepted | Rejected


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What is not known to have been done. ``retry_after`` is seconds.

    ``again`` tells whether repeating may help, ``in_doubt`` whether it may have been done,
    ``denied`` that the token does not allow it.
    """

    detail: str
    again: bool = True
    in_doubt: bool = False
    denied: bool = False
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
    duplicate: bool = False
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
        return Accepted(item.id, item.queue, item.duplicate)
    return _not_taken(reply, item.status, item.problem or Problem(item.status), task_id)


def _of_all(reply: Reply, task_id: str) -> Result | Unanswered:
    return _not_taken(reply, reply.status, read_problem(reply), task_id)


def read_problem(reply: Reply) -> Problem:
    """Return the problem document of an answer, or one made of its first words."""
    try:
        problem = _PROBLEM.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Problem(reply.status, detail=reply.body[:_MOST_QUOTED].decode(errors="replace"))
    return problem if problem.status else replace(problem, status=reply.status)


def read_refusal(reply: Reply) -> Problem | Unanswered:
    """Return why the daemon refuses what was asked, or why nobody has answered it."""
    problem = read_problem(reply)
    told = reply.headers.get("content-type", "").startswith(_PROBLEM_TYPE)
    if told and reply.status in _OURS and problem.status == reply.status:
        return problem
    return _unanswered(reply, reply.status, problem, "do that")


def _not_taken(reply: Reply, status: int, problem: Problem, task_id: str) -> Rejected | Unanswered:
    if status in _REFUSED:
        return Rejected(task_id, problem)
    return _unanswered(reply, status, problem, "take tasks")


def _unanswered(reply: Reply, status: int, problem: Problem, what: str) -> Unanswered:
    said = f": {problem.detail or problem.title}".rstrip(": ")
    if status in _BUSY:
        detail = f"the daemon at {reply.address} cannot {what} now ({status}){said}"
        wait = _seconds(reply.headers.get("retry-after", ""))
        return Unanswered(
            detail, in_doubt=status not in _NOT_TAKEN, retry_after=wait, problem=problem
        )
    if status in _DENIED:
        detail = f"{reply.address} does not allow it ({status}){said}"
        return Unanswered(detail, again=False, denied=True, problem=problem)
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
