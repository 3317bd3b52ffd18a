"""What daemons tell each other, and what is put aside for a person: words beside the tasks."""

from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct

from webhook_runner.task.model import Message


class Notice(Struct, frozen=True):
    """Something every daemon has to know, now and after a restart.

    A later one of the same ``key`` takes the place of an earlier; ``at`` is epoch seconds.
    """

    key: str
    at: float
    word: bytes


class Aside(StrEnum):
    """Where messages are put aside: tasks that ended without success, or no tasks at all."""

    DEAD = "dead"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, eq=False)
class PutAside:
    """A message that was put aside.

    Attributes:
        letter: names it within its queue, the same whenever it is looked at.
        at: when it was put aside, in epoch seconds; 0 when that is not known.
        message: its bytes and our headers, believed.
        handle: the adapter's own; nobody else looks inside.

    """

    aside: Aside
    queue: str
    letter: str
    at: float
    message: Message
    handle: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Depths:
    """How many messages of a queue there are; None: the broker cannot tell."""

    ready: int
    dead: int
    invalid: int
    scheduled: int | None = None
