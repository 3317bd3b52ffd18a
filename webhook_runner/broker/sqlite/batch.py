"""What shall be written to the queue file together, and what is answered to it."""

from asyncio import Future
from dataclasses import dataclass, field

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


Publish = Entry | Letter
Settle = Ack | Return


@dataclass(slots=True)
class Batch:
    """Writes by kind, each with the future that its commit resolves."""

    publishes: dict[Future[None], Publish] = field(default_factory=dict)
    settles: dict[Future[bool], Settle] = field(default_factory=dict)
    claims: dict[Future[Claimed], Claim] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.publishes or self.settles or self.claims)

    def parts(self) -> tuple["Batch", "Batch"]:
        """Split what makes room in a full file from what needs it; forget what was cancelled."""
        wanted = {wait: each for wait, each in self.publishes.items() if not wait.done()}
        return Batch(settles=self.settles, claims=self.claims), Batch(publishes=wanted)

    def before(self, later: "Batch") -> "Batch":
        """Return both as one, this one first."""
        return Batch(
            self.publishes | later.publishes,
            self.settles | later.settles,
            self.claims | later.claims,
        )
