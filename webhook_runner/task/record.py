"""What is kept of a task: the changes of its state and its attempts, and how they are asked for."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec import field as struct_field

from webhook_runner.task.model import Envelope, Kind
from webhook_runner.task.state import TaskState

KEPT_BODY_BYTES = 4096

_COPY, _TURN = 4096, 8
_MOST_TURNS = _COPY // _TURN - 1


class Stage(StrEnum):
    """How far one handing-over of one copy has come; later words are later stages."""

    PLACED = "placed"
    RECEIVED = "received"
    STARTED = "started"
    GIVEN_BACK = "given_back"
    ENDED = "ended"


_STAGES = {stage: number for number, stage in enumerate(Stage)}


def sequence(gen: int, turn: int, stage: Stage) -> int:
    """Return a number that grows along a run, whoever counts: by copy, handing-over and stage.

    A copy is placed before anybody is handed it, so ``turn`` is 0 for ``PLACED``.
    """
    return gen * _COPY + min(turn, _MOST_TURNS) * _TURN + _STAGES[stage]


def gen_of(seq: int) -> int:
    """Return which copy of the run a ``sequence`` speaks of."""
    return seq // _COPY


class RollbackState(StrEnum):
    """What became of the roll-back of a task that ended without success."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Change(Struct, frozen=True):
    """The state of a task as of ``at`` (epoch seconds).

    A store applies it when the run is newer than what it has; or the run is the same, has not
    ended, and this is its end or has a greater ``seq``. Any order of the same changes but for two
    ends gives the same state.

    Attributes:
        envelope: the copy that it speaks of; its task, run, attempt, due time.
        reason: why it failed, was retried, is held, was cancelled.
        status, error: what the last attempt met with, as far as there was one.
        rollback: set when a roll-back was published with this change.

    """

    envelope: Envelope
    state: TaskState
    seq: int
    at: float
    reason: str = ""
    status: int | None = None
    error: str = ""
    rollback: RollbackState | None = None


class Attempt(Struct, frozen=True):
    """One attempt that has ended; times are epoch seconds.

    ``outcome`` is responded, timed_out, unreachable, refused or interrupted; ``error`` the public
    word for what went wrong (timeout, dns, ...); ``body`` at most ``KEPT_BODY_BYTES``.
    (id, run, seq) names it: after a crash there may be two of one number.
    """

    id: str
    run: int
    seq: int
    attempt: int
    started_at: float
    ended_at: float
    outcome: str
    status: int | None = None
    error: str = ""
    detail: str = ""
    headers: Mapping[str, str] = struct_field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False


class RollbackEnded(Struct, frozen=True):
    """The roll-back of task ``id`` was delivered or failed; ``run`` is the task's own."""

    id: str
    run: int
    state: RollbackState


Entry = Change | Attempt | RollbackEnded


class TaskRecord(Struct, frozen=True):
    """What is known of one run of a task. Times are epoch seconds.

    Attributes:
        attempt: the attempt under way, or the last one; 0 before the first.
        source: the message as published; None when payloads are not kept.
        progress: for a roll-back, the JSON of the headers of its first copy; else None.

    """

    id: str
    run: int
    seq: int
    queue: str
    url: str
    method: str
    state: TaskState
    attempt: int
    created_at: float
    due_at: float
    changed_at: float
    fingerprint: bytes
    kind: Kind = Kind.TASK
    origin: str = ""
    reason: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    last_status: int | None = None
    last_error: str = ""
    eta: float | None = None
    expires: float | None = None
    max_retries: int | None = None
    roll_back: str = ""
    rollback: RollbackState | None = None
    metadata: bytes | None = None
    correlation_id: str = ""
    traceparent: str = ""
    source: bytes | None = None
    progress: bytes | None = None


class TaskQuery(Struct, frozen=True):
    """Which runs to list, youngest first; empty means any.

    ``since`` and ``until`` bound ``created_at`` (epoch seconds, until exclusive); ``cursor`` is
    the ``next`` of the page before.
    """

    states: frozenset[TaskState] = frozenset()
    queue: str = ""
    since: float | None = None
    until: float | None = None
    limit: int = 100
    cursor: str = ""


class TaskPage(Struct, frozen=True):
    """``next`` is the cursor of the following page, "" at the end. Lists carry no ``source``."""

    tasks: tuple[TaskRecord, ...]
    next: str = ""


class QueueCount(Struct, frozen=True):
    """How many tasks of a queue are in a state, and the oldest ``created_at`` among them."""

    queue: str
    state: TaskState
    count: int
    oldest: float


class Claim(Struct, frozen=True):
    """A word against duplicates: whoever claims ``key`` first until ``until`` has it.

    ``fingerprint`` tells whether two that claim the same key mean the same task.
    """

    key: str
    id: str
    run: int
    fingerprint: bytes
    at: float
    until: float


class Holder(Struct, frozen=True):
    """Who has a key. ``is_new``: the claim that was just made has it.

    ``kept``: its task is known to be kept by the broker; if not, whoever comes again with the
    same task publishes it again, as the same run.
    """

    id: str
    run: int
    fingerprint: bytes
    is_new: bool
    kept: bool
