"""The delay wheel: which slot carries a wait, when a slot is open, what to do with its tasks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

RING = 64
"""Slots of one level; slot ``index`` lives in the queue ``index % RING``."""


@dataclass(frozen=True, slots=True)
class Level:
    """One ring of the wheel; all times in seconds.

    Attributes:
        number: 0 for the finest.
        width: what one slot covers.
        lead: how long before its start a slot opens.
        grace: how long after its end a slot stays open.

    """

    number: int
    width: float
    lead: float
    grace: float


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """The stretch ``[index * width, (index + 1) * width)`` of a level, counted from the epoch."""

    level: int
    index: int

    @property
    def position(self) -> int:
        """Which queue of the level's ring this slot uses; the next lap uses the same one."""
        return self.index % RING


@dataclass(frozen=True, slots=True)
class HandOver:
    """The task is due."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the delivery unacknowledged and look again at ``until`` (epoch seconds)."""

    until: float


@dataclass(frozen=True, slots=True)
class Park:
    """Publish the task to ``slot``, then acknowledge the delivery."""

    slot: Slot


LEVELS = (
    Level(0, 1.0, 0.25, 16.0),
    Level(1, 32.0, 8.0, 256.0),
    Level(2, 1_024.0, 256.0, 1_200.0),
    Level(3, 32_768.0, 8_192.0, 3_600.0),
    Level(4, 1_048_576.0, 262_144.0, 3_600.0),
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """The geometry and every decision of the wheel; times in epoch seconds, waits in seconds.

    Attributes:
        levels: finest first.
        ring: slots per level.
        reach: a level takes a task that is due in less than so many of its widths.
        hold: a delivery due this soon waits in the process.
        handed_hold: the same for a delivery that another process has handed over.
        margin: a slot that opens sooner than this may be open already when a publish lands.

    """

    levels: tuple[Level, ...] = field(default=LEVELS)
    ring: int = RING
    reach: int = 41
    hold: float = 1.25
    handed_hold: float = 10.0
    margin: float = 0.05

    @classmethod
    def scaled(cls, factor: float) -> Self:
        """Make the same wheel with every time multiplied by ``factor``, for tests in a hurry."""
        levels = tuple(
            Level(each.number, each.width * factor, each.lead * factor, each.grace * factor)
            for each in LEVELS
        )
        return cls(
            levels=levels, hold=1.25 * factor, handed_hold=10.0 * factor, margin=0.05 * factor
        )

    @property
    def lap(self) -> float:
        """How long the finest level takes to go round: each of its slots opens once in it."""
        return self.ring * self.levels[0].width

    def slot(self, level: int, at: float) -> Slot:
        """Find the slot of ``level`` that covers ``at``: start <= at < end holds in floats."""
        width = self.levels[level].width
        index = math.floor(at / width)
        # A width that is no power of two rounds the quotient: trust the products instead.
        if index * width > at:
            index -= 1
        elif (index + 1) * width <= at:
            index += 1
        return Slot(level, index)

    def place(self, due: float, now: float) -> Slot | None:
        """Where a task waits; None when it is too soon for any slot: hold the delivery.

        The slot opens at least ``margin`` from now, and not after ``due``.
        A wait beyond the reach of the top level is placed as far as that reaches.
        """
        for slot in self._candidates(due, now):
            if self.opens_at(slot) >= now + self.margin:
                return slot
        return None

    def place_next(self, due: float, now: float) -> Slot:
        """Where a task whose state changed waits: always a slot, if need be one that is open."""
        due = max(due, now)
        return self.place(due, now) or self.slot(0, due)

    def opens_at(self, slot: Slot) -> float:
        level = self.levels[slot.level]
        return slot.index * level.width - level.lead

    def closes_at(self, slot: Slot) -> float:
        """When the grace of ``slot`` has passed; it stays open longer while it has messages."""
        level = self.levels[slot.level]
        return (slot.index + 1) * level.width + level.grace

    def is_open(self, slot: Slot, now: float) -> bool:
        return self.opens_at(slot) <= now < self.closes_at(slot)

    def open_slots(self, now: float) -> frozenset[Slot]:
        """List every slot to consume at ``now``: no clock step can skip one, as a cursor would."""
        return frozenset(slot for slot in self._around(now) if self.is_open(slot, now))

    def next_change(self, now: float) -> float:
        """Find the first moment after ``now`` at which `open_slots` answers something else."""
        slots = tuple(self._around(now))
        moments = (*map(self.opens_at, slots), *map(self.closes_at, slots))
        return min(moment for moment in moments if moment > now)

    def arrive(self, due: float, now: float, *, handed: bool) -> HandOver | Hold | Park:
        """Decide on a delivery; ``handed`` when it comes from a hand-over (`wr-handed`).

        A `Park` of a handed delivery means that the clocks of two daemons are far apart, and each
        undoes at once what the other did. Hold it for `hold` seconds, once, and decide again.
        """
        if due <= now:
            return HandOver()
        if due - now <= (self.handed_hold if handed else self.hold):
            return Hold(due)
        slot = self.place(due, now)
        return Hold(due) if slot is None else Park(slot)

    def would_return(self, consumed: Slot, due: float, now: float) -> bool:
        """Whether a task that came from ``consumed`` belongs back into the very same queue.

        That is so for a task of the next lap, met by a consumer that could not drain its slot in
        time, and after the clock was set back. Ask before following a `Park`: parking it would be
        a hot loop. Keep it unacknowledged, cancel the consumer, then give it back.
        """
        own = self.slot(consumed.level, due)
        if self._same_queue(own, consumed) and now < self.opens_at(own):
            return True
        slot = self.place(due, now)
        return slot is not None and self._same_queue(slot, consumed)

    def _candidates(self, due: float, now: float) -> Iterator[Slot]:
        """List the slot of the lowest level whose reach holds the wait, then those below it."""
        fit = self._lowest_level(due - now)
        if fit is None:
            fit = len(self.levels) - 1
            due = math.nextafter(now + self.reach * self.levels[fit].width, now)
        for level in range(fit, -1, -1):
            yield self.slot(level, due)

    def _lowest_level(self, wait: float) -> int | None:
        for level in self.levels:
            if wait < self.reach * level.width:
                return level.number
        return None

    def _around(self, now: float) -> Iterator[Slot]:
        """All open slots and, on each level, at least one before them and one after."""
        for level in self.levels:
            first = self.slot(level.number, now - level.grace).index - 2
            last = self.slot(level.number, now + level.lead).index + 1
            for index in range(first, last + 1):
                yield Slot(level.number, index)

    def _same_queue(self, one: Slot, other: Slot) -> bool:
        return one.level == other.level and (one.index - other.index) % self.ring == 0


WHEEL = Wheel()
