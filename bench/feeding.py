"""Hand scripted tasks in by several doors at once, no faster than is allowed."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from bench.doors import Door
from bench.ledger import Entry, Ledger
from bench.script import Recipe

_AGAIN_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one door is used: tasks at once, and seconds between two batches, at most."""

    batch: int = 40
    between: float = 0.1


class Feeder:
    """Publishes in a thread of its own, in batches, no faster than its quota grows."""

    def __init__(
        self, door: Door, recipe: Recipe, ledger: Ledger, pace: Pace, numbers: Iterator[int]
    ) -> None:
        self.accepted = 0
        self.error: Exception | None = None
        self._door = door
        self._recipe = recipe
        self._ledger = ledger
        self._pace = pace
        self._numbers = numbers
        self._quota = 0
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._thread.start()

    def allow(self, quota: int) -> None:
        """Let so many tasks be accepted in all."""
        with self._changed:
            self._quota = max(self._quota, quota)
            self._changed.notify()

    def close(self) -> None:
        """End when the quota is reached. Raises what the door raised."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join()
        self._door.close()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        dice = random.Random(f"{self._recipe.seed}/{type(self._door).__name__}")
        try:
            while (room := self._room()) > 0:
                size = min(room, dice.randint(1, self._pace.batch))
                entries = hand_in(self._door, self._recipe, list(islice(self._numbers, size)))
                self._ledger.write(entries)
                self.accepted += sum(entry.accepted for entry in entries)
                time.sleep(dice.uniform(0, self._pace.between))
        except Exception as error:  # noqa: BLE001 - handed on by `close`
            self.error = error

    def _room(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._ending or self.accepted < self._quota)
            return self._quota - self.accepted


def hand_in(door: Door, recipe: Recipe, numbers: Sequence[int]) -> list[Entry]:
    """Publish these tasks once, waiting until the door can be reached."""
    tasks = [recipe.task(number) for number in numbers]
    while True:
        now = time.time()
        entries = [Entry(number, now) for number in numbers]
        if door.publish(list(zip(tasks, entries, strict=True))):
            return entries
        time.sleep(_AGAIN_SECONDS)


class Feeders:
    """One feeder for each door; they take turns in the numbers and share the quota."""

    def __init__(self, doors: Sequence[Door], recipe: Recipe, ledger: Ledger, pace: Pace) -> None:
        step = len(doors)
        self._feeders = [
            Feeder(door, recipe, ledger, pace, count(first, step))
            for first, door in enumerate(doors)
        ]

    @property
    def accepted(self) -> int:
        """How many tasks are accepted by now."""
        return sum(each.accepted for each in self._feeders)

    @property
    def failed(self) -> bool:
        """Whether one has ended by an error, which `close` raises."""
        return any(each.error is not None for each in self._feeders)

    def allow(self, quota: int) -> None:
        """Let so many tasks be accepted in all."""
        each, rest = divmod(quota, len(self._feeders))
        for number, feeder in enumerate(self._feeders):
            feeder.allow(each + (number < rest))

    def close(self) -> None:
        """End when the quota is reached. Raises what a door raised."""
        for each in self._feeders:
            each.close()
