"""What shall be written to the queue file together, and what is answered to it."""

from asyncio import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from webhook_runner.task.notice import Aside, Notice

AT_ONCE = 0
"""The due time of what is ready at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message for a work queue; ``due`` is ``AT_ONCE`` or epoch milliseconds.

    ``replaces`` is the id of the handed-over message that this one follows, which goes as this one
    comes; 0 when there is none.
    """

    queue: str
    headers: str
    body: bytes
    properties: str = ""
    due: int = AT_ONCE
    replaces: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is set aside at ``at`` (epoch milliseconds), as dead or as invalid."""

    entry: Entry
    at: int
    is_dead: bool


@dataclass(frozen=True, slots=True)
class Ack:
    id: int


@dataclass(frozen=True, slots=True)
class Return:
    """Put back what was handed over; ``counted`` when that was a delivery."""

    id: int
    counted: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """Hand over at most so many of ``queue`` that are due at ``now`` (epoch milliseconds)."""

    queue: str
    now: int
    most: int


@dataclass(frozen=True, slots=True)
class Row:
    """A message handed over; ``deliveries`` counts the earlier ones."""

    id: int
    due: int
    deliveries: int
    headers: str
    body: bytes
    properties: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """``next_due`` is when the queue has more, in epoch milliseconds; None: not as of now."""

    rows: list[Row]
    next_due: int | None


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove at most so many letters of ``queue``, of those from ``first`` to ``last``."""

    aside: Aside
    queue: str
    first: int
    last: int
    most: int = 1


@dataclass(frozen=True, slots=True)
class Purge:
    """Remove at most so many of ``queue`` that are due at ``now``, up to the message ``last``."""

    queue: str
    now: int
    last: int
    most: int


Publish = Entry | Letter
Post = tuple[Notice, ...]
Settle = Ack | Return
Removal = Drop | Purge


class Written(NamedTuple):
    """What a batch has found, and how many each of its removals has removed."""

    claimed: list[Claimed]
    removed: list[int]


@dataclass(slots=True)
class Batch:
    """Writes by kind, each with the future that its commit resolves."""

    publishes: dict[Future[None], Publish] = field(default_factory=dict)
    settles: dict[Future[bool], Settle] = field(default_factory=dict)
    claims: dict[Future[Claimed], Claim] = field(default_factory=dict)
    posts: dict[Future[None], Post] = field(default_factory=dict)
    removals: dict[Future[int], Removal] = field(default_factory=dict)

    def __bool__(self) -> bool:
        needed = self.publishes or self.settles or self.claims
        return bool(needed or self.posts or self.removals)

    @property
    def needs_room(self) -> bool:
        return bool(self.publishes or self.posts)

    @property
    def is_promised(self) -> bool:
        """Whether who asked is told that it is on disk."""
        return bool(self.publishes or self.posts or self.removals)

    def parts(self) -> tuple["Batch", "Batch"]:
        """Split what makes room in a full file from what needs it; forget what was cancelled."""
        wanted = {wait: each for wait, each in self.publishes.items() if not wait.done()}
        removals = {wait: each for wait, each in self.removals.items() if not wait.done()}
        settling = Batch(settles=self.settles, claims=self.claims, removals=removals)
        return settling, Batch(publishes=wanted, posts=self.posts)

    def before(self, later: "Batch") -> "Batch":
        """Return both as one, this one first."""
        return Batch(
            self.publishes | later.publishes,
            self.settles | later.settles,
            self.claims | later.claims,
            self.posts | later.posts,
            self.removals | later.removals,
        )
