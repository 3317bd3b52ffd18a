"""What a task is, and how far it has come. Immutable; knows no services."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from msgspec import Struct
from msgspec import field as struct_field

HeaderValue = str | int


class Kind(StrEnum):
    TASK = "task"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class RollBack:
    """The call that undoes a task which failed for good."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dedup:
    """What a message says of its duplicates: whether they run, what they are told by, how long.

    They are told by the id without a ``key``; ``window`` is seconds, None: that of the queue.
    """

    wanted: bool = True
    key: str = ""
    window: float | None = None


class Message(Struct, frozen=True):
    """A message as the broker hands it over, before anything is believed of it.

    ``headers`` holds our own ``wr-*`` headers only, and only when the message came through an
    exchange of ours; ``timestamp`` is the publisher's, in epoch seconds.
    """

    body: bytes
    headers: Mapping[str, HeaderValue] = struct_field(default_factory=dict)
    message_id: str = ""
    timestamp: float | None = None
    content_type: str = ""
    content_encoding: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    persistent: bool = True
    expiration: bool = False


# No dataclass: each task is copied several times on its way, and a
# frozen dataclass of twenty fields takes forty times as long for that.
class Task(Struct, frozen=True):
    """A webhook to call, as asked for. Times are epoch seconds, durations seconds.

    ``source`` is the message exactly as published; ``payload`` the bytes of its payload field
    (None when absent or null); ``body`` what the endpoint receives; ``metadata`` raw JSON.
    """

    id: str
    queue: str
    url: str
    source: bytes
    method: str = "POST"
    payload: bytes | None = None
    body: bytes = b""
    headers: Mapping[str, str] = struct_field(default_factory=dict)
    eta: float | None = None
    countdown: float | None = None
    expires: float | None = None
    max_retries: int | None = None
    timeout: float | None = None
    roll_back: RollBack | None = None
    metadata: bytes | None = None
    dedup: Dedup | None = None

    @property
    def fingerprint(self) -> bytes:
        """What tells the message as published from any other: 16 bytes of its hash."""
        return blake2b(self.source, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task ended, carried by its roll-back task and its dead letter.

    ``reason`` is retries_exhausted, non_retryable, stopped, expired, max_age, crash_loop or
    cancelled; ``detail`` may narrow it, as expires_before_retry does.
    """

    reason: str
    attempts: int = 0
    detail: str = ""
    last_status: int | None = None
    last_error: str = ""


class Envelope(Struct, frozen=True):
    """A task on its way. All that changes between attempts is here, none of it in the task.

    Attributes:
        attempt: number of the next attempt, from 1; an uncounted one leaves it alone.
        gen: grows by one with every publish; (id, run, gen) names one copy.
        due_at: epoch seconds; never dispatched earlier.
        named: the id came with the message, so a redelivery will carry the same one.
        again: its line began with a redelivered message of a publisher.
        dedup: it must not be run twice, and a copy like it may be in another daemon or be left by
            a crash: each attempt is claimed in the store before its request.
        doubtful: an earlier request of this attempt may have reached the endpoint.
        deaths: deliveries of this copy that ended without an outcome, where the broker
            does not count them (classic queues).
        turn: how often this copy was handed over before; known of the copy in hand only.
        alone: how often it was set apart because processes died with it; above 0 it runs
            with nothing beside it.

    """

    task: Task
    first_at: float
    due_at: float
    kind: Kind = Kind.TASK
    run: int = 1
    attempt: int = 1
    gen: int = 0
    named: bool = True
    doubtful: bool = False
    again: bool = False
    dedup: bool = False
    snoozes: int = 0
    uncounted: int = 0
    deaths: int = 0
    alone: int = 0
    turn: int = 0
    first_attempt_at: float | None = None
    last_attempt_at: float | None = None
    last_status: int | None = None
    last_error: str = ""
    failure: Failure | None = None
    origin: str = ""
    correlation_id: str = ""
    traceparent: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells one copy of a task from any other: (id, run, gen)."""
        return (self.task.id, self.run, self.gen)
