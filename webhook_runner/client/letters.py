"""What was put aside for a person: dead letters and invalid messages, looked at and replayed."""

from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypedDict, TypeVar

import msgspec

from webhook_runner.client.answer import Problem, Reply, Unanswered
from webhook_runner.client.ask import Ask, Talk, answered
from webhook_runner.client.failure import LetterNotFoundError, failure, refused
from webhook_runner.client.info import LetterInfo, ReplayedLetter, ReplayTotal
from webhook_runner.client.reading import Members, convert, members, read_items, read_one
from webhook_runner.client.steer import PAGE, asked, instant, place
from webhook_runner.client.stream import Give, More, Open, Said, lines
from webhook_runner.client.task import Instant

Aside = Literal["dead", "invalid"]
Replayed = ReplayedLetter | ReplayTotal

_DAEMON = "the daemon"
_BUSY = 503

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; what is empty or None is not asked for.

    Attributes:
        ids: of their tasks, at most 100.
        letters: their names, at most 100.
        reason: why they were put aside.
        status: of the last answer.
        url_prefix: how their url begins.
        since, until: when they were put aside; ``until`` is exclusive.

    """

    ids: Collection[str] = ()
    letters: Collection[str] = ()
    reason: str = ""
    status: int | None = None
    url_prefix: str = ""
    since: Instant | None = None
    until: Instant | None = None

    @property
    def query(self) -> dict[str, str | float | None]:
        """The filter as parameters of a query."""
        return {
            "id": ",".join(self.ids),
            "letter": ",".join(self.letters),
            "reason": self.reason,
            "status": self.status,
            "url_prefix": self.url_prefix,
            "since": instant(self.since),
            "until": instant(self.until),
        }

    @property
    def members(self) -> dict[str, object]:
        """The filter as members of a JSON object."""
        named = {**self.query, "id": list(self.ids), "letter": list(self.letters)}
        return {name: value for name, value in named.items() if value not in (None, "", [])}


class LetterWishes(TypedDict, total=False):
    """The fields of a filter, as keywords of ``dead`` and ``invalid``."""

    ids: Collection[str]
    letters: Collection[str]
    reason: str
    status: int | None
    url_prefix: str
    since: Instant | None
    until: Instant | None


@dataclass(frozen=True, slots=True)
class _Dropped:
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Drawer:
    """The letters of one queue that are dead, or invalid, as far as they fit the filter."""

    aside: Aside
    queue: str
    wanted: LetterFilter
    seconds: float

    def list(self, limit: int | None) -> Generator[Ask | Give[LetterInfo], Said, None]:
        """Give the letters, page by page."""
        left, cursor = limit, ""
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            ask = Ask("GET", self._place(**self.wanted.query, limit=size, cursor=cursor))
            reply = yield from asked(answered(ask, self.seconds, missing=LetterNotFoundError))
            items, cursor = read_items(reply, LetterInfo)
            for each in items:
                yield Give(each)
            left = None if left is None else left - len(items)
            if not cursor:
                return

    def show(self, letter: str) -> Talk[LetterInfo]:
        ask = Ask("GET", self._place(letter))
        reply = yield from answered(ask, self.seconds, missing=LetterNotFoundError)
        return read_one(reply, LetterInfo)

    def drop(self, *, everything: bool) -> Talk[int]:
        query = {**self.wanted.query, "all": "true" if everything else None}
        ask = Ask("DELETE", self._place(**query))
        reply = yield from answered(
            ask, self.seconds, missing=LetterNotFoundError, repeatable=False
        )
        return _dropped(reply)

    def replay(
        self,
        *,
        everything: bool,
        rate: str,
        dry_run: bool,
        edit: Mapping[str, object] | bytes | None,
        to_queue: str,
    ) -> Generator[Open | More | Give[Replayed], Said, None]:
        """Give what became of each letter, and at last how many there were."""
        wishes: dict[str, object] = {**self.wanted.members, "dry_run": dry_run}
        wishes |= {"all": True} if everything else {}
        wishes |= {"rate": rate} if rate else {}
        wishes |= {} if edit is None else {"edit": _json(edit)}
        wishes |= {"queue": to_queue} if to_queue else {}
        ask = Ask("POST", self._place("replay"), msgspec.json.encode(wishes), limit=None)
        replies = lines(ask, self.seconds, missing=LetterNotFoundError, repeatable=False)
        return _each(replies, _replayed)

    def export(self) -> Generator[Open | More | Give[LetterInfo], Said, None]:
        """Give the letters with their messages, all in one answer."""
        ask = Ask("GET", self._place("export", **self.wanted.query))
        replies = lines(ask, self.seconds, missing=LetterNotFoundError, repeatable=True)
        return _each(replies, _exported)

    def _place(self, *parts: str, **query: str | float | None) -> str:
        return place("queues", self.queue, self.aside, *parts, **query)


def _each(
    story: Generator[Open | More | Give[bytes], Said, None], read: Callable[[bytes], T]
) -> Generator[Open | More | Give[T], Said, None]:
    """Give what is read of each line that a story gives."""
    said: Said = None
    try:
        while True:
            step = story.send(said)
            said = yield Give(read(step.value)) if isinstance(step, Give) else step
    except StopIteration:
        return


def _json(edit: Mapping[str, object] | bytes) -> object:
    return msgspec.Raw(edit) if isinstance(edit, bytes) else edit


def _told(line: bytes) -> Members:
    """Return the members of a line. Raises the client's error for one that tells of a problem."""
    found = members(line, _DAEMON)
    if "problem" not in found:
        return found
    problem = convert(found["problem"], Problem, _DAEMON)
    if problem.status == _BUSY:
        why = Unanswered(f"it broke off: {problem.detail}", in_doubt=True, problem=problem)
        raise failure(why)
    raise refused(problem, LetterNotFoundError)


def _replayed(line: bytes) -> Replayed:
    found = _told(line)
    if "matched" in found:
        return convert(found, ReplayTotal, _DAEMON)
    return convert(found, ReplayedLetter, _DAEMON)


def _exported(line: bytes) -> LetterInfo:
    return replace(convert(_told(line), LetterInfo, _DAEMON), source=line)


def _dropped(reply: Reply) -> int:
    return read_one(reply, _Dropped).dropped
