"""What happens next: a closed set of verdicts. engine/settlement.py carries them out."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec import field as struct_field

from webhook_runner.task.model import Envelope, Failure


class Why(StrEnum):
    """Why a task waits although no attempt was made or counted."""

    NOT_DUE = "not_due"
    SNOOZED = "snoozed"
    DESTINATION_PAUSED = "destination_paused"
    BREAKER_OPEN = "breaker_open"
    HOST_SATURATED = "host_saturated"
    SUSPECT = "suspect"


class Revoked(StrEnum):
    """Why a copy is not to be carried out although nobody has settled it."""

    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class Errand(StrEnum):
    """Why a message goes on to a work queue before anything else."""

    ROUTED = "routed"
    NAMED = "named"
    COUNTED = "counted"
    HURRIED = "hurried"


class Proceed(Struct, frozen=True):
    """The attempt may start now."""


class Complete(Struct, frozen=True):
    """The task has succeeded, with this answer; nothing follows."""

    status: int | None = None


class Retry(Struct, frozen=True):
    """Publish ``next`` (attempt + 1) to the wheel, then acknowledge."""

    next: Envelope
    delay: float
    reason: str


class Postpone(Struct, frozen=True):
    """Not yet: no attempt is charged. ``next`` is the copy to publish if the wait is long."""

    next: Envelope
    until: float
    why: Why


class Forward(Struct, frozen=True):
    """Publish ``next`` to the work queue of its task, then acknowledge."""

    next: Envelope
    errand: Errand


class Fail(Struct, frozen=True):
    """Failed for good: roll-back first, dead letter second, then acknowledge.

    ``told`` is the failure with what the last attempt met, as the dead letter keeps it.
    """

    failure: Failure
    rollback: Envelope | None
    told: Mapping[str, Any] = struct_field(default_factory=dict)


class Expire(Struct, frozen=True):
    """Too late for any attempt; settled like a failure."""

    failure: Failure
    rollback: Envelope | None
    told: Mapping[str, Any] = struct_field(default_factory=dict)


class Cancel(Struct, frozen=True):
    """Called off: the roll-back if its queue wants one, then acknowledge. No dead letter."""

    rollback: Envelope | None = None


class Drop(Struct, frozen=True):
    """Acknowledge and forget: this copy is already settled, or a duplicate ``of`` that task."""

    reason: str
    of: str = ""


class Release(Struct, frozen=True):
    """Give the delivery back untouched."""


Verdict = Complete | Retry | Postpone | Forward | Fail | Expire | Cancel | Drop | Release
Admission = Proceed | Postpone | Forward | Fail | Expire | Cancel | Drop
