"""What a daemon tells of tasks, attempts and queues. Times are datetimes in UTC."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as member
from datetime import datetime

from webhook_runner.client.answer import Problem

ENDS = frozenset({"succeeded", "failed", "expired", "cancelled", "invalid"})
"""The states after which a run changes no more."""


@dataclass(frozen=True, slots=True)
class RollBackInfo:
    """The call that undoes a task; ``state`` is pending, delivered or failed, None before."""

    url: str = ""
    state: str | None = None


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """How one run of a task is.

    Attributes:
        state: scheduled, ready, running, held, succeeded, failed, expired, cancelled or invalid.
        retrying: it is scheduled because an attempt has failed.
        attempt: the attempt under way, or the last one; 0 before the first.
        message: as it was published; only where it was asked for, and is kept.

    """

    id: str
    state: str
    run: int = 0
    queue: str = ""
    url: str = ""
    method: str = ""
    retrying: bool = False
    reason: str = ""
    attempt: int = 0
    created_at: datetime | None = None
    due_at: datetime | None = None
    changed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_status: int | None = None
    last_error: str = ""
    eta: datetime | None = None
    expires: datetime | None = None
    max_retries: int | None = None
    kind: str = "task"
    origin: str = ""
    roll_back: RollBackInfo | None = None
    metadata: object = None
    correlation_id: str = ""
    message: object = None

    @property
    def ended(self) -> bool:
        """Whether it changes no more."""
        return self.state in ENDS

    @property
    def succeeded(self) -> bool:
        """Whether its endpoint has answered that it is done."""
        return self.state == "succeeded"


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """The first bytes of an endpoint's answer; ``base64`` when ``body`` is no text."""

    headers: Mapping[str, str] = member(default_factory=dict)
    body: str = ""
    base64: bool = False
    truncated: bool = False

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return base64.b64decode(self.body) if self.base64 else self.body.encode()


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """One attempt that has ended.

    ``outcome`` is responded, timed_out, unreachable, refused or interrupted.
    """

    attempt: int
    outcome: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float = 0.0
    status: int | None = None
    error: str = ""
    detail: str = ""
    response: ResponseInfo | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A task that is cancelled, or (``cancel_requested``) will be as soon as it can be."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class NotCancelled:
    """A task that cannot be cancelled: it has ended (409), or is not known (404)."""

    id: str
    problem: Problem


CancelResult = Cancelled | NotCancelled


@dataclass(frozen=True, slots=True)
class Rerun:
    """A new run of a task that had ended."""

    id: str
    run: int = 0
    queue: str = ""


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue: what is in it, and its limits in force. None: the daemon cannot tell.

    Attributes:
        condition: how its consumer is, in a word or a sentence.
        lag_seconds: for how long the oldest ready task has been due.
        limits: concurrency, rate, bucket_size, ...
        changed: which of them were changed at run time.

    """

    name: str
    paused: bool = False
    condition: str = ""
    ready: int | None = None
    running: int | None = None
    scheduled: int | None = None
    dead: int | None = None
    invalid: int | None = None
    oldest_at: datetime | None = None
    lag_seconds: float | None = None
    limits: Mapping[str, object] = member(default_factory=dict)
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DestinationInfo:
    """A host and port that tasks call, as the daemon that was asked sees it.

    Attributes:
        destination: its name, such as ``example.com:443``.
        state: closed, open, half_open or paused.
        until: when it is called again, None when that is now, or nobody knows.
        requests, failures: of the last minute or so.
        held: tasks that were sent away for its sake and are not back yet.
        forced: a person has decided on its state.

    """

    destination: str
    state: str = ""
    until: datetime | None = None
    requests: int = 0
    failures: int = 0
    held: int = 0
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Purged:
    """How many tasks were thrown away."""

    ready: int = 0
    scheduled: int | None = None


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something that happened, by its name in the log, such as ``task.succeeded``.

    Attributes:
        sequence: its place in the stream.
        more: everything that was told of it.

    """

    name: str
    id: str = ""
    run: int = 0
    queue: str = ""
    state: str = ""
    attempt: int = 0
    at: datetime | None = None
    sequence: str = ""
    more: Mapping[str, object] = member(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether its task changes no more."""
        return self.state in ENDS


@dataclass(frozen=True, slots=True)
class LetterInfo:
    """A message that was put aside: a task that has failed for good, or an invalid message.

    Attributes:
        letter: names it within its queue.
        field, explanation: of an invalid message, what is wrong with it.
        size: bytes of the message.
        summary: what the last attempt met with; only of one that was shown or exported.
        message: as it was published; likewise. Text when it is no JSON.
        source: all of this as the daemon wrote it, in JSON; only of one that was exported.

    """

    letter: str
    id: str = ""
    run: int = 0
    queue: str = ""
    at: datetime | None = None
    reason: str = ""
    field: str = ""
    explanation: str = ""
    url: str = ""
    method: str = ""
    attempts: int | None = None
    last_status: int | None = None
    last_error: str = ""
    kind: str = ""
    size: int = 0
    summary: object = None
    message: object = None
    source: bytes = b""


@dataclass(frozen=True, slots=True)
class ReplayedLetter:
    """A letter that is a task again, under ``run``; or was not replayed, for ``error``."""

    letter: str
    id: str = ""
    run: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class ReplayTotal:
    """How many letters fitted, and what became of them; in a dry run they would have."""

    matched: int = 0
    replayed: int = 0
    failed: int = 0
    dry_run: bool = False
