"""A seeded world for the wheel's simulation: tasks, daemons, faults, and what must hold."""

import math
import random
from dataclasses import dataclass, field

from tests.unit.policy.model_broker import WORK, Broker, Loop, Message
from tests.unit.policy.model_daemon import Daemon
from tests.unit.policy.model_rules import Limits, Rules

EPOCH = 1_800_000_000.0
LAST_RESORT_SECONDS = 10_000.0


@dataclass(slots=True)
class Seen:
    """What the observer of a run noted."""

    owed: dict[tuple[int, int], float] = field(default_factory=dict)
    executed: dict[tuple[int, int], int] = field(default_factory=dict)
    early: list[Message] = field(default_factory=list)
    most_hops: int = 0
    latest: float = 0.0


class World:
    def __init__(
        self,
        seed: int,
        *,
        rules: Rules | None = None,
        limits: Limits | None = None,
        skew: float = 0.2,
        daemons: int | None = None,
        events: int = 400_000,
    ) -> None:
        self.dice = random.Random(seed)
        self.loop = Loop(EPOCH + self.dice.random() * 3e7)
        self.broker = Broker(self.loop, self.dice)
        self.seen = Seen()
        self.events = events
        self.tasks = 0
        self.daemons = [
            Daemon(
                self.loop,
                self.broker,
                rules or Rules(),
                limits or Limits(),
                self._executed,
                self.dice.uniform(-skew, skew),
            )
            for _ in range(daemons or self.dice.randint(1, 4))
        ]
        # A retry is owed once it has reached the broker; before that its forerunner is still there.
        self.broker.landed.append(lambda _, message: self._owe(message))
        self.last_due = self.loop.now
        for each in self.daemons:
            each.start()

    # -- load

    def publish(self, at: float, delay: float) -> None:
        """A sender's task enters the work queue ``at`` seconds from now, due ``delay`` later."""
        moment = self.loop.now + at
        due = math.ceil((moment + delay) * 1000) / 1000
        message = Message(self.tasks, 1, due)
        self.tasks += 1
        self._owe(message)
        self.loop.at(moment, lambda: self.broker.put(WORK, message))

    def load(self, tasks: int, longest: float, during: float = 100.0) -> None:
        for _ in range(tasks):
            delay = math.exp(self.dice.uniform(math.log(0.001), math.log(longest)))
            self.publish(self.dice.uniform(0, during), delay)

    def flood(self, tasks: int, at: float, due: float) -> None:
        """Many tasks due in the one second that begins ``due`` seconds from now."""
        for _ in range(tasks):
            moment = at + self.dice.uniform(0, 5)
            self.publish(moment, max(due - moment + self.dice.random(), 0.0))

    # -- faults, all in seconds from now

    def kill(self, daemon: Daemon, at: float, for_seconds: float) -> None:
        self.loop.after(at, daemon.kill)
        self.loop.after(at + for_seconds, daemon.start)

    def outage(self, at: float, for_seconds: float) -> None:
        for each in self.daemons:
            self.kill(each, at, for_seconds + self.dice.uniform(0, 3))

    def block(self, at: float, for_seconds: float) -> None:
        def begin() -> None:
            self.broker.blocked_until = self.loop.now + for_seconds

        self.loop.after(at, begin)

    def slow(self, at: float, for_seconds: float, seconds: float) -> None:
        def begin() -> None:
            self.broker.slow_until = self.loop.now + for_seconds
            self.broker.slow_seconds = seconds

        self.loop.after(at, begin)

    def step_clock(self, daemon: Daemon, at: float, seconds: float) -> None:
        self.loop.after(at, lambda: daemon.step_clock(seconds))
        self.loop.after(at + 300, lambda: daemon.step_clock(-seconds))

    # -- running

    def run(self) -> Seen:
        """Turn until every owed attempt was executed; AssertionError when a rule is broken."""
        while self.missing():
            end = self.last_due + LAST_RESORT_SECONDS
            assert self.loop.step(), f"stands still; missing {self.missing()}"
            assert self.loop.now < end, f"lost or very late: {self.missing()}"
            assert self.loop.events < self.events, f"hot loop; hops {self.seen.most_hops}"
        assert not self.seen.early, f"early: {self.seen.early}"
        return self.seen

    def missing(self) -> int:
        return len(self.seen.owed) - len(self.seen.executed)

    def _owe(self, message: Message) -> None:
        # A repeated attempt makes a second copy of its retry: it is owed once.
        self.last_due = max(self.last_due, message.due)
        self.seen.owed.setdefault((message.task, message.attempt), message.due)

    def _executed(self, message: Message, now: float) -> None:
        name = message.task, message.attempt
        self.seen.executed[name] = self.seen.executed.get(name, 0) + 1
        self.seen.most_hops = max(self.seen.most_hops, message.hops)
        if self.seen.executed[name] == 1:
            self.seen.latest = max(self.seen.latest, self.loop.now - message.due)
        if now < message.due:
            self.seen.early.append(message)
