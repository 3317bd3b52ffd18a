"""What a task of a chaos run is made of: its kind, its message, and how it has to end."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal[
    "plain", "delayed", "flaky", "slow", "doomed", "racing", "hopeless", "hostile", "stormy"
]

KINDS: tuple[tuple[Kind, int], ...] = (
    ("plain", 33),
    ("delayed", 24),
    ("flaky", 13),
    ("slow", 9),
    ("doomed", 7),
    ("racing", 4),
    ("hopeless", 2),
    ("hostile", 5),
    ("stormy", 3),
)
FRIENDLY = KINDS[:-2]
HOSTILE = ("refuse", "reset", "silent", "drip", "garbage")
STORMY = ("storm", "busy")
QUEUES = ("default", "other")
SPARE_QUEUE = "spare"
SPARE = 1_000_000_000
"""From this number on, tasks are for the queue that is deleted under its consumers."""
UNDO = "undo"
HOSTILE_TIMEOUT = 1.0
_MOSTLY_SHORT = 5.0


@dataclass(frozen=True, slots=True)
class Scripted:
    """A task whose way is known beforehand.

    Attributes:
        number: tells it from all others; every url that it calls ends in it.
        kind: flaky fails and then succeeds; doomed fails for good; racing may expire before it is
            due; hopeless has expired before it is due; hostile meets an endpoint that never
            answers 2xx; stormy meets one that does so now and then, or expires.
        queue: where an AMQP client publishes it.
        moved: whether its message names another queue than the one it is published to.
        named: whether its publisher gives it an id.
        path: what the receiver is to do with it, and its number.
        endpoint: the receiver's port that it calls by name, or "" for the good one.
        delay: seconds from publishing until it is due.
        attempts: requests that it needs when nothing crashes (racing, hostile: at most;
            stormy: 0, any number).
        lifetime: seconds from publishing until it expires, or None.

    """

    number: int
    kind: Kind
    queue: str
    moved: bool
    named: bool
    path: str
    endpoint: str = ""
    delay: float = 0.0
    attempts: int = 1
    lifetime: float | None = None
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id that a publisher gives it when it is named."""
        return f"task-{self.number}"

    def message(self, now: float, hosts: Mapping[str, str]) -> dict[str, object]:
        """Return the JSON message as published at epoch second ``now``.

        ``hosts``: the url of each endpoint; that of the good one, "", need not be there.
        """
        url = f"{hosts.get(self.endpoint, '')}{self.path}"
        message: dict[str, object] = {"url": url, "payload": {"number": self.number}}
        if self.named:
            message["id"] = self.id
        if self.moved:
            message["queue"] = QUEUES[1]
        if self.lifetime is not None:
            message["expires"] = now + self.lifetime
            if self.delay:
                message["eta"] = now + self.delay
        elif self.delay:
            message["countdown"] = self.delay
        return message | self.fields

    def by_one_door(self) -> "Scripted":
        """Return it for a door that knows no queues: it names its own."""
        moved = self.moved or self.queue == QUEUES[1]
        return replace(self, queue=QUEUES[0], moved=moved)


@dataclass(frozen=True, slots=True)
class Recipe:
    """From a number to its task: the same for the same recipe.

    Attributes:
        seed: the dice.
        longest_delay: seconds that a task waits at most; three in four wait for at most 5.
        patience: seconds after which a task for a bad endpoint has expired at the latest.
        hostile: whether there are tasks for bad endpoints.

    """

    seed: int
    longest_delay: float = 5.0
    patience: float = 10.0
    hostile: bool = True

    def task(self, number: int) -> Scripted:
        """Return the task of this number."""
        if number >= SPARE:
            return Scripted(number, "plain", SPARE_QUEUE, moved=False, named=True, path=_ok(number))
        dice = random.Random(f"{self.seed}/{number}")
        if number == 0:  # the longest wait comes first: the queues for it are there from then on
            plain = Scripted(0, "delayed", QUEUES[0], moved=False, named=True, path=_ok(0))
            return replace(plain, delay=self.longest_delay)
        kinds = KINDS if self.hostile else FRIENDLY
        kind = dice.choices([name for name, _ in kinds], [weight for _, weight in kinds])[0]
        moved = dice.random() < 0.25
        queue = QUEUES[0] if moved else dice.choice(QUEUES)
        task = Scripted(number, kind, queue, moved, dice.random() < 0.7, _ok(number))
        if kind in {"hostile", "stormy"}:
            return self._hostile(task, dice)
        return self._told(task, dice)

    def _told(self, task: Scripted, dice: random.Random) -> Scripted:
        """Give a task what its kind needs."""
        number, failures = task.number, dice.randint(1, 2)
        undo: dict[str, object] = {"roll_back": f"/{UNDO}/{number}"}
        lasting = self._lasting(dice)
        match task.kind:
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
                half = lasting / 2
                return replace(task, delay=lasting, attempts=0, lifetime=half, fields=undo)
            case _:
                return task

    def _lasting(self, dice: random.Random) -> float:
        longest = self.longest_delay
        most = longest if dice.random() < 0.25 else min(longest, _MOSTLY_SHORT)
        return round(dice.uniform(0.05, most), 3)

    def _hostile(self, task: Scripted, dice: random.Random) -> Scripted:
        """Send a task to a bad endpoint; it expires, for its destination may be avoided long."""
        number, failures = task.number, dice.randint(1, 2)
        name = dice.choice(HOSTILE if task.kind == "hostile" else STORMY)
        fields: dict[str, object] = {"roll_back": f"/{UNDO}/{number}"}
        attempts = 0
        if task.kind == "hostile":
            fields |= {"max_retries": failures - 1, "timeout": HOSTILE_TIMEOUT}
            attempts = failures
        lifetime = round(self.patience * dice.uniform(0.5, 1.0), 3)
        path = f"/{name}-{failures}/{number}"
        return replace(
            task, path=path, endpoint=name, attempts=attempts, lifetime=lifetime, fields=fields
        )


def _ok(number: int) -> str:
    return f"/ok/{number}"


def number_of(path: str) -> int:
    """Return the number of the task that a path belongs to."""
    return int(path.rpartition("/")[2])
