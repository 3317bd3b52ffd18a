"""Answers that come in pieces: pages, lines, events; what is read, without a socket."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from webhook_runner.client.answer import Reply, Unanswered
from webhook_runner.client.ask import DONE, Ask, Patience, next_pause, unanswered
from webhook_runner.client.failure import MissingError, failure

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Open:
    """Ask, and leave the answer's body to be read by ``More``; its head is what is said."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class More:
    """Read what comes next of the body; nothing is its end."""


@dataclass(frozen=True, slots=True)
class Give(Generic[T_co]):
    """Hand a value to the caller."""

    value: T_co


Said = Reply | Unanswered | bytes | None
Story = Generator[Ask | Open | More | Give[T], Said, None]
"""Yields what is to be done, and is sent what came of it: for iterators."""


def advance(story: Story[T], said: Said) -> Ask | Open | More | Give[T] | None:
    """Return the next step of a story, None at its end."""
    try:
        return story.send(said)
    except StopIteration:
        return None


class Lines:
    """Bytes in pieces become lines; they end in LF, CR or both."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that are complete now."""
        text = self._rest + piece
        # A CR at the end may be the first half of a CR LF.
        held = b"\r" if text.endswith(b"\r") else b""
        whole = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        self._rest = rest + held
        return lines


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event; ``id`` is the last one told, as the standard has it."""

    name: str
    data: bytes
    id: str


class ServerEvents:
    """A stream of the HTML standard's server-sent events; ``last_id`` survives a new start."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._lines = Lines()
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Return the events that are complete now."""
        found = (self._line(line) for line in self._lines.feed(piece))
        return [event for event in found if event is not None]

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._complete()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"id" and b"\0" not in value:
            self.last_id = value.decode(errors="replace")
        return None

    def _complete(self) -> ServerEvent | None:
        event = ServerEvent(self._name or "message", b"\n".join(self._data), self.last_id)
        has_data = bool(self._data)
        self._name, self._data = "", []
        return event if has_data else None


def opened(
    ask: Ask, patience: Patience, *, missing: type[MissingError], repeatable: bool = True
) -> Generator[Open, Said, Reply]:
    """Open the stream of an answer, with patience, and return its head.

    Raises:
        AnswerError, ServiceUnavailableError, NotAllowedError, UnexpectedAnswerError: see
            ``ask.answered``.

    """
    pause = ask.pause
    while True:
        met = yield Open(replace(ask, pause=pause))
        if isinstance(met, Reply):
            if met.status in DONE:
                return met
            met = unanswered(met, missing)
        if not isinstance(met, Unanswered):
            raise TypeError(f"{met!r} is no answer to a request")
        pause = next_pause(met, patience, repeatable=repeatable)


def lines(
    ask: Ask, seconds: float, *, missing: type[MissingError], repeatable: bool
) -> Generator[Open | More | Give[bytes], Said, None]:
    """Give the lines of an answer, those that are not empty, as they come.

    Raises:
        ServiceUnavailableError: it broke off; what was asked may have been done in part.

    """
    yield from opened(ask, Patience(seconds), missing=missing, repeatable=repeatable)
    split = Lines()
    while piece := (yield More()):
        if not isinstance(piece, bytes):
            raise failure(_broken(piece))
        for line in split.feed(piece):
            if line:
                yield Give(line)


def _broken(met: Said) -> Unanswered:
    return replace(met, in_doubt=True) if isinstance(met, Unanswered) else Unanswered("broke off")
