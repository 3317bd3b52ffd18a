"""What a task of a chaos run is made of: its kind, its message, and how it has to end."""

import random
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["plain", "delayed", "flaky", "slow", "doomed", "racing", "hopeless"]

KINDS: tuple[tuple[Kind, int], ...] = (
    ("plain", 35),
    ("delayed", 25),
    ("flaky", 14),
    ("slow", 10),
    ("doomed", 8),
    ("racing", 5),
    ("hopeless", 3),
)
LONGEST_DELAY = 5.0
QUEUES = ("default", "other")
UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Scripted:
    """A task whose way is known beforehand.

    Attributes:
        number: tells it from all others; every url that it calls ends in it.
        kind: flaky fails and then succeeds; doomed fails for good; racing may expire before it is
            due; hopeless has expired before it is due.
        queue: where an AMQP client publishes it.
        moved: whether its message names another queue than the one it is published to.
        named: whether its publisher gives it an id.
        path: what the receiver is to do with it, and its number.
        delay: seconds from publishing until it is due.
        attempts: requests that it needs when nothing crashes (racing: at most).
        lifetime: seconds from publishing until it expires, or None.

    """

    number: int
    kind: Kind
    queue: str
    moved: bool
    named: bool
    path: str
    delay: float = 0.0
    attempts: int = 1
    lifetime: float | None = None
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id that a publisher gives it when it is named."""
        return f"task-{self.number}"

    @property
    def undone(self) -> bool:
        """Whether it has a roll-back."""
        return "roll_back" in self.fields

    def message(self, now: float) -> dict[str, object]:
        """Return the JSON message as published at epoch second ``now``."""
        message: dict[str, object] = {"url": self.path, "payload": {"number": self.number}}
        if self.named:
            message["id"] = self.id
        if self.moved:
            message["queue"] = QUEUES[1]
        if self.lifetime is not None:
            message["eta"] = now + self.delay
            message["expires"] = now + self.lifetime
        elif self.delay:
            message["countdown"] = self.delay
        return message | self.fields


def script(number: int, seed: int) -> Scripted:
    """Return the task of this number: the same for the same seed."""
    dice = random.Random(f"{seed}/{number}")
    kind = dice.choices([name for name, _ in KINDS], [weight for _, weight in KINDS])[0]
    moved = dice.random() < 0.25
    queue = QUEUES[0] if moved else dice.choice(QUEUES)
    task = Scripted(number, kind, queue, moved, dice.random() < 0.7, f"/ok/{number}")
    return _told(task, dice)


def _told(task: Scripted, dice: random.Random) -> Scripted:
    """Give a task what its kind needs."""
    number, failures = task.number, dice.randint(1, 2)
    undo: dict[str, object] = {"roll_back": f"/{UNDO}/{number}"}
    lasting = round(dice.uniform(0.05, LONGEST_DELAY), 3)
    match task.kind:
        case "plain":
            return task
        case "delayed":
            return replace(task, delay=lasting)
        case "flaky":
            return replace(task, path=f"/fail-{failures}/{number}", attempts=failures + 1)
        case "slow":
            return replace(task, path=f"/slow-{dice.randint(20, 200)}/{number}")
        case "doomed":
            fields = undo | {"max_retries": failures - 1}
            return replace(task, path=f"/never/{number}", attempts=failures, fields=fields)
        case "racing":
            lifetime = round(lasting + dice.uniform(0.01, 1.5), 3)
            return replace(task, delay=lasting, lifetime=lifetime, fields=undo)
        case "hopeless":
            return replace(task, delay=lasting, attempts=0, lifetime=lasting / 2, fields=undo)


def number_of(path: str) -> int:
    """Return the number of the task that a path belongs to."""
    return int(path.rpartition("/")[2])
