"""A small model of the broker for the wheel's simulation: FIFO queues, confirms, returns."""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Key = tuple[int, int]
WORK: Key = (-1, 0)


class Loop:
    """Discrete events in true time (epoch seconds)."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.events = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, moment: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(moment, self.now), next(self._order), call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.at(self.now + seconds, call)

    def step(self) -> bool:
        if not self._heap:
            return False
        self.now, _, call = heapq.heappop(self._heap)
        self.events += 1
        call()
        return True


@dataclass(slots=True)
class Message:
    task: int
    attempt: int
    due: float
    hops: int = 0
    handed: bool = False
    returns: int = 0

    def copy(self, *, hops: int, handed: bool) -> "Message":
        return Message(self.task, self.attempt, self.due, hops, handed)


@dataclass(slots=True, eq=False)
class Consumer:
    link: "Link"
    key: Key
    prefetch: int
    deliver: Callable[["Consumer", int, Message], None]
    unacked: dict[int, Message] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Link:
    """One connection of one life of a daemon; each direction keeps its order."""

    alive: bool = True
    lingers: bool = False
    consumers: list[Consumer] = field(default_factory=list)
    last_publish: float = 0.0
    last_command: float = 0.0
    last_report: float = 0.0


class Broker:
    """Quorum queues with a delivery limit: what is returned goes to the front."""

    def __init__(self, loop: Loop, dice: random.Random) -> None:
        self.loop = loop
        self.dice = dice
        self.queues: dict[Key, deque[Message]] = {}
        self.active: dict[Key, list[Consumer]] = {}
        self.landed: list[Callable[[Key, Message], None]] = []
        self.blocked_until = 0.0
        self.slow_until = 0.0
        self.slow_seconds = 0.0
        self._tags = itertools.count(1)

    def latency(self) -> float:
        return self.dice.uniform(0.0002, 0.004)

    def publish(
        self, link: Link, key: Key, message: Message, confirmed: Callable[[], None]
    ) -> None:
        slow = self.dice.uniform(0, self.slow_seconds) if self.loop.now < self.slow_until else 0.0
        link.last_publish = max(link.last_publish, self.loop.now + slow + self.latency())
        self.loop.at(link.last_publish, lambda: self._land(link, key, message, confirmed))

    def _land(self, link: Link, key: Key, message: Message, confirmed: Callable[[], None]) -> None:
        if not link.alive and not link.lingers:
            return
        if self.loop.now < self.blocked_until:
            self.loop.at(self.blocked_until, lambda: self._land(link, key, message, confirmed))
            return
        self.put(key, message)
        self.report(link, confirmed)

    def put(self, key: Key, message: Message) -> None:
        self.queues.setdefault(key, deque()).append(message)
        self._tell(key, message)
        self.pump(key)

    def _tell(self, key: Key, message: Message) -> None:
        for tell in self.landed:
            tell(key, message)

    def report(self, link: Link, call: Callable[[], None]) -> None:
        """Broker to daemon, in order; lost with the link."""
        link.last_report = max(link.last_report, self.loop.now + self.latency())
        self.loop.at(link.last_report, lambda: call() if link.alive else None)

    def command(self, link: Link, call: Callable[[], None]) -> None:
        """Daemon to broker (ack, nack, cancel), in order; lost with the link."""
        link.last_command = max(link.last_command, self.loop.now + self.latency())
        self.loop.at(link.last_command, lambda: call() if link.alive else None)

    def consume(self, consumer: Consumer) -> None:
        consumer.link.consumers.append(consumer)
        self.active.setdefault(consumer.key, []).append(consumer)
        self.pump(consumer.key)

    def cancel(self, consumer: Consumer) -> None:
        active = self.active.get(consumer.key, [])
        if consumer in active:
            active.remove(consumer)

    def get(self, consumer: Consumer) -> tuple[int, Message] | None:
        queue = self.queues.get(consumer.key)
        if not queue:
            return None
        tag, message = next(self._tags), queue.popleft()
        consumer.unacked[tag] = message
        return tag, message

    def pump(self, key: Key) -> None:
        queue, active = self.queues.get(key), self.active.get(key)
        while queue and active:
            free = [each for each in active if len(each.unacked) < each.prefetch]
            if not free:
                return
            self._deliver(free[0])
            active.append(active.pop(active.index(free[0])))

    def _deliver(self, consumer: Consumer) -> None:
        got = self.get(consumer)
        assert got is not None
        tag, message = got
        self.report(consumer.link, lambda: consumer.deliver(consumer, tag, message))

    def ack(self, consumer: Consumer, tag: int) -> None:
        consumer.unacked.pop(tag)
        self.pump(consumer.key)

    def give_back(self, consumer: Consumer, tags: list[int]) -> None:
        """Return deliveries to the front, last first, so that their order stays."""
        for tag in sorted(tags, reverse=True):
            message = consumer.unacked.pop(tag)
            message.returns += 1
            self.queues[consumer.key].appendleft(message)
            self._tell(consumer.key, message)
        self.pump(consumer.key)

    def drop(self, link: Link) -> None:
        """The link is gone: its consumers end and all they held goes back."""
        link.alive = False
        link.lingers = self.dice.random() < 0.5
        for consumer in link.consumers:
            self.cancel(consumer)
        for consumer in link.consumers:
            self.give_back(consumer, list(consumer.unacked))
