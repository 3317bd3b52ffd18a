"""What the simulated daemons are told: rules (that a mutation may take away) and limits."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.policy.model_broker import Consumer, Key, Message
from webhook_runner.policy.delay import Slot, Wheel

SWEEP_SECONDS = 30.0
LOOK_ON = 200


@dataclass(frozen=True, slots=True)
class Rules:
    """What a mutation may take away."""

    wheel: Wheel = field(default_factory=Wheel)
    sweeps: bool = True
    keeps_next_lap: bool = True
    pauses: bool = True
    margin_of_timers: float = 0.0015

    def is_open(self, key: Key, now: float) -> bool:
        level, position = key
        first = self.wheel.slot(level, now - self.wheel.levels[level].grace).index - 1
        slot = Slot(level, first + (position - first) % self.wheel.ring)
        return self.wheel.is_open(slot, now)

    def opens_next(self, key: Key, now: float) -> float:
        level, position = key
        index = self.wheel.slot(level, now).index - 2
        index += (position - index) % self.wheel.ring
        while self.wheel.opens_at(Slot(level, index)) <= now:
            index += self.wheel.ring
        return self.wheel.opens_at(Slot(level, index))


@dataclass(frozen=True, slots=True)
class Limits:
    prefetch: int = 1000
    executors: int = 200
    request_seconds: float = 0.05
    budget: int = 10**9
    """Deliveries held; all messages are of one size."""
    failures: float = 0.1


@dataclass(slots=True, eq=False)
class Delivery:
    consumer: Consumer
    tag: int
    message: Message
    from_sweep: bool = False
    busy: bool = False
    aside: bool = False
    paused: bool = False
    settled: bool = False


Executed = Callable[[Message, float], None]
