"""What parent and worker tell each other, and how that is written: frames of msgpack."""

from collections.abc import Iterator
from struct import Struct as Layout
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from webhook_runner.engine.destination import Standing
from webhook_runner.observe.tallies import Count
from webhook_runner.policy.division import Portion
from webhook_runner.store.text import plain
from webhook_runner.task.record import Attempt, Change, Claim, RollbackEnded, TaskQuery
from webhook_runner.task.state import TaskState

LARGEST = 1 << 30
"""Bytes; a frame that says it is larger is none."""

T = TypeVar("T")

_LENGTH = Layout(">I")


class Noted(Struct, frozen=True, tag=True):
    """What a worker noted for the store; ``claims`` are (key, run, kept or given back)."""

    number: int
    changes: list[Change]
    attempts: list[Attempt]
    rollbacks: list[RollbackEnded]
    claims: list[tuple[str, int, bool]]


class Find(Struct, frozen=True, tag=True):
    id: str
    run: int | None


class Latest(Struct, frozen=True, tag=True):
    id: str
    fingerprint: bytes


class Attempts(Struct, frozen=True, tag=True):
    id: str
    run: int


class Tasks(Struct, frozen=True, tag=True):
    query: TaskQuery


class Counts(Struct, frozen=True, tag=True):
    """How many tasks have not ended."""


class Advance(Struct, frozen=True, tag=True):
    change: Change


class Take(Struct, frozen=True, tag=True):
    claim: Claim


class Export(Struct, frozen=True, tag=True):
    """The next page of the runs that ended before a time; ``of`` is the number of the first ask."""

    of: int
    before: float


class Forget(Struct, frozen=True, tag=True):
    before: float


Question = Find | Latest | Attempts | Tasks | Counts | Advance | Take | Export | Forget


class Ask(Struct, frozen=True, tag=True):
    number: int
    question: Question


class QueueStands(Struct, frozen=True):
    """How a queue stands with one worker: as ``engine.consumer`` has it."""

    condition: str
    running: int
    lag: float | None


class Stands(Struct, frozen=True, tag=True):
    """How a worker stands. ``applied`` is the version of the portions it goes by."""

    applied: int
    connected: bool
    blocked: str
    scheduled: int
    queues: dict[str, QueueStands]


class Destinations(Struct, frozen=True, tag=True):
    """How destinations stand with a worker: the answer to ``Look`` number so and so."""

    number: int
    standings: list[Standing]


class Totals(Struct, frozen=True, tag=True):
    """What a worker has counted since it began."""

    samples: list[Count]


class News(Struct, frozen=True, tag=True):
    """An event for those who listen; ``task`` is (id, run, attempt)."""

    name: str
    data: bytes
    queue: str
    state: TaskState | None
    task: tuple[str, int, int] | None


class Missed(Struct, frozen=True, tag=True):
    """News were lost."""


class Lines(Struct, frozen=True, tag=True):
    """Lines of the log, each with its end."""

    text: str


class Leaves(Struct, frozen=True, tag=True):
    """A worker has drained, and cut off so many attempts."""

    interrupted: int


FromWorker = Noted | Ask | Stands | Destinations | Totals | News | Missed | Lines | Leaves


class StoreStands(Struct, frozen=True, tag=True):
    kind: str
    trouble: str
    waits: bool


class Portions(Struct, frozen=True, tag=True):
    version: int
    queues: dict[str, Portion]


class Begin(Struct, frozen=True, tag=True):
    """All that a worker is told before it begins; ``settings`` is JSON."""

    name: str
    number: int
    settings: bytes
    store: StoreStands
    portions: Portions
    paused: bool
    listening: bool


class Adopt(Struct, frozen=True, tag=True):
    """New settings, as JSON."""

    settings: bytes
    portions: Portions


class Pause(Struct, frozen=True, tag=True):
    paused: bool


class Listen(Struct, frozen=True, tag=True):
    listening: bool


class Kept(Struct, frozen=True, tag=True):
    """Every batch up to this number is kept."""

    number: int


class Answer(Struct, frozen=True, tag=True):
    number: int
    value: msgspec.Raw


class Unanswered(Struct, frozen=True, tag=True):
    """``error`` is one of ``store_desk.ERRORS``."""

    number: int
    error: str
    text: str


class Look(Struct, frozen=True, tag=True):
    """The question how destinations stand."""

    number: int


class Stop(Struct, frozen=True, tag=True):
    """Drain and end; with ``hurry`` without waiting for what runs."""

    hurry: bool


ToWorker = (
    Begin
    | Adopt
    | Portions
    | StoreStands
    | Pause
    | Listen
    | Kept
    | Answer
    | Unanswered
    | Look
    | Stop
)

_encoder = msgspec.msgpack.Encoder()


def encoded(value: object) -> bytes:
    """Return msgpack; what is no text in it is replaced, as a store would."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_plain(msgspec.to_builtins(value, builtin_types=(bytes,))))


def frame(message: FromWorker | ToWorker) -> bytes:
    body = encoded(message)
    return _LENGTH.pack(len(body)) + body


class Reader(Generic[T]):
    """Cuts what comes by a stream into messages, wherever it was split.

    ``FROM_WORKER`` and ``TO_WORKER`` are the decoders for it.
    """

    def __init__(self, decoder: "msgspec.msgpack.Decoder[T]") -> None:
        self._decoder = decoder
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[T]:
        """Take some bytes; yield the messages that are whole now.

        Raises:
            ValueError: this is no message of ours.

        """
        self._pending += data
        start, end = 0, len(self._pending)
        try:
            while end - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._pending, start)
                if length > LARGEST:
                    raise ValueError(f"a frame of {length} bytes")
                body = start + _LENGTH.size
                if end - body < length:
                    break
                start = body + length
                # A copy: what is decoded may point into it.
                yield self._decoder.decode(bytes(self._pending[body:start]))
        finally:
            del self._pending[:start]


FROM_WORKER: "msgspec.msgpack.Decoder[FromWorker]" = msgspec.msgpack.Decoder(FromWorker)
TO_WORKER: "msgspec.msgpack.Decoder[ToWorker]" = msgspec.msgpack.Decoder(ToWorker)


def _plain(value: Any) -> Any:  # noqa: ANN401 - anything that msgpack can write
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
