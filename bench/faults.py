"""The faults of a chaos run: what there is, how often, in which order, what each may repeat."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

Kind = Literal[
    "kill",
    "freeze",
    "restart",
    "broker-kill",
    "pause",
    "memory-alarm",
    "disk-alarm",
    "close",
    "deletion",
    "cut",
    "refuse",
    "black-hole",
    "half-open",
    "half-close",
    "latency",
]
Reach = Literal["none", "one", "all"]

LINE: tuple[Kind, ...] = ("cut", "black-hole", "half-open", "refuse", "latency", "half-close")
ALARMS: tuple[Kind, ...] = ("memory-alarm", "disk-alarm")
REACH: dict[Kind, Reach] = {
    "kill": "one",
    "freeze": "one",
    "restart": "none",
    "broker-kill": "all",
    "pause": "all",
    "memory-alarm": "none",
    "disk-alarm": "none",
    "close": "all",
    "deletion": "none",
    "cut": "all",
    "refuse": "all",
    "black-hole": "all",
    "half-open": "all",
    "half-close": "all",
    "latency": "none",
}
"""Whose requests each may repeat: of no daemon, of the one that it was done to, of all."""


@dataclass(frozen=True, slots=True)
class Event:
    """One fault that was done: epoch seconds just before it, and when it was over.

    Attributes:
        daemon: the number of the daemon that it was done to, as the receiver knows it, or "".

    """

    kind: Kind
    began: float
    ended: float
    daemon: str = ""

    @property
    def reach(self) -> Reach:
        return REACH[self.kind]

    def reaches(self, sender: str) -> bool:
        """Whether it may repeat what this daemon had under way."""
        return self.reach == "all" or (self.reach == "one" and self.daemon == sender)


@dataclass(frozen=True, slots=True)
class Faults:
    """How many of each sort; ``cuts`` are faults of the line of every kind in turn."""

    kills: int = 0
    broker_kills: int = 0
    pauses: int = 0
    cuts: int = 0
    restarts: int = 0
    freezes: int = 0
    alarms: int = 0
    closes: int = 0
    deletions: int = 0

    def in_order(self, seed: int) -> list[Kind]:
        """Return all of them in an order that the seed decides."""
        counts: tuple[tuple[tuple[Kind, ...], int], ...] = (
            (("kill",), self.kills),
            (("broker-kill",), self.broker_kills),
            (("pause",), self.pauses),
            (LINE, self.cuts),
            (("restart",), self.restarts),
            (("freeze",), self.freezes),
            (ALARMS, self.alarms),
            (("close",), self.closes),
            (("deletion",), self.deletions),
        )
        kinds = [kind for names, count in counts for kind in islice(cycle(names), count)]
        random.Random(seed).shuffle(kinds)
        return kinds

    @property
    def of_the_broker(self) -> int:
        """How many need a RabbitMQ."""
        others = self.kills + self.restarts + self.freezes
        return len(self.in_order(0)) - others


@dataclass(frozen=True, slots=True)
class Tempo:
    """How long things take; spans are seconds, from and to.

    Attributes:
        heartbeat: of the daemons' connections, in seconds.
        longest_delay: that a task waits, in seconds.
        patience: seconds that a task for a bad endpoint lives.
        pause: how long the broker is paused.
        silence: how long the line swallows everything, or one direction.
        freeze: how long a daemon is stopped.
        trouble: how long alarms, refusals and slowness last.
        gap: from when work goes on until the next fault.
        batch: tasks that are handed in at once, at most.
        between: seconds between two batches of one door, at most.

    """

    heartbeat: int = 5
    longest_delay: float = 60.0
    patience: float = 45.0
    pause: tuple[float, float] = (5.0, 40.0)
    silence: tuple[float, float] = (12.0, 30.0)
    freeze: tuple[float, float] = (2.0, 25.0)
    trouble: tuple[float, float] = (2.0, 8.0)
    gap: tuple[float, float] = (0.2, 1.5)
    batch: int = 40
    between: float = 0.1


FULL = Tempo()
BRISK = Tempo(
    heartbeat=2,
    longest_delay=5.0,
    patience=5.0,
    pause=(5.0, 6.0),
    silence=(5.0, 6.0),
    freeze=(1.0, 3.0),
    trouble=(1.0, 2.0),
    gap=(0.1, 0.6),
    batch=8,
    between=0.3,
)
TEMPI = {"full": FULL, "brisk": BRISK}


def duration(dice: random.Random, span: Sequence[float]) -> float:
    """Throw a number of seconds."""
    return dice.uniform(span[0], span[1])
