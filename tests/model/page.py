"""What was published under one number, and what is known of it."""

from dataclasses import dataclass, field

from tests.model.reference import Line
from webhook_runner.task.model import Envelope


@dataclass
class Page:
    """What was published under one number, and what became of it.

    Attributes:
        births: how often it was taken in, for each of which it must end once.
        may_be_invalid: it may be refused for what it claims against duplicates.
        revoked_at: when it was called off, with all that there was of it.
        unanswered: how many replays nobody has answered: the store may not know of those runs.

    """

    number: int
    id: str
    source: bytes
    payload: bytes
    queue: str
    line: Line
    undo: Line
    rolls_back: bool
    owes_undo: bool = False
    births: int = 0
    possible: int = 0
    refused: bool = False
    may_be_invalid: bool = False
    called_off: bool = False
    revoked_at: float | None = None
    unanswered: int = 0
    dropped: bool = False
    told: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)

    def loosen(self, by: int) -> None:
        """Expect less of it, or (-1) again as much as before: it may be several tasks."""
        self.line.loose += by
        self.undo.loose += by

    def of(self, kind: str) -> Line:
        return self.undo if kind == "undo" else self.line

    def is_revoked(self, envelope: Envelope) -> bool:
        """What is received in the very millisecond of a cancellation may be younger than it."""
        at = self.revoked_at
        return at is not None and round(at * 1000) != round(envelope.first_at * 1000)
