"""Crash at a stated point, armed only by WEBHOOK_RUNNER_FAILPOINTS: how the crash matrix is run.

``park.after:2:kill`` ends the process right after the second park returned.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from webhook_runner.errors import ConfigError
from webhook_runner.ports import (
    Broker,
    BrokerState,
    Consumer,
    Delivery,
    Dispatcher,
    Store,
    StoreState,
)
from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Outcome
from webhook_runner.task.record import (
    Attempt,
    Change,
    Claim,
    Entry,
    Holder,
    QueueCount,
    TaskPage,
    TaskQuery,
    TaskRecord,
)
from webhook_runner.task.request import Request

ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_CALLS = (
    *("enqueue", "park", "bury", "quarantine", "ack", "dispatch", "receive"),
    *("kept", "claim", "keep_claim", "advance"),
)
POINTS = frozenset(f"{call}.{side}" for call in _CALLS for side in ("before", "after"))


@dataclass(frozen=True, slots=True)
class Failpoint:
    point: str
    nth: int
    action: str


class Failpoints:
    """Counts how often each point was passed, and strikes at the armed ones."""

    def __init__(self, armed: tuple[Failpoint, ...]) -> None:
        self._armed = armed
        self._passed: Counter[str] = Counter()

    @classmethod
    def parse(cls, text: str) -> "Failpoints":
        """Read ``POINT:NTH:ACTION``, comma-separated. Raises ConfigError."""
        return cls(tuple(_failpoint(word) for word in text.split(",") if word))

    async def reach(self, point: str) -> None:
        self.strike(point)
        await asyncio.sleep(0)

    def strike(self, point: str) -> None:
        self._passed[point] += 1
        for armed in self._armed:
            if armed.point == point and armed.nth == self._passed[point]:
                os.kill(os.getpid(), ACTIONS[armed.action])


class FailingDispatcher:
    """A dispatcher with failpoints around ``send``."""

    def __init__(self, inner: Dispatcher, points: Failpoints) -> None:
        self._inner = inner
        self._points = points

    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        await self._points.reach("dispatch.before")
        outcome = await self._inner.send(request, envelope)
        await self._points.reach("dispatch.after")
        return outcome

    async def close(self) -> None:
        await self._inner.close()


class FailingConsumer:
    """A consumer with a failpoint where a delivery arrives."""

    def __init__(self, inner: Consumer, points: Failpoints) -> None:
        self._inner = inner
        self._points = points

    def receive(self, delivery: Delivery) -> None:
        self._points.strike("receive.before")
        self._inner.receive(delivery)
        self._points.strike("receive.after")

    def take_now(self, delivery: Delivery) -> bool:
        return self._inner.take_now(delivery)


class FailingBroker:
    """A broker with failpoints around every publish and acknowledgement."""

    def __init__(self, inner: Broker, points: Failpoints) -> None:
        self._inner = inner
        self._points = points

    async def run(self) -> None:
        await self._inner.run()

    async def serve(self, queues: tuple[str, ...]) -> None:
        await self._inner.serve(queues)

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        await self._inner.consume(queue, FailingConsumer(consumer, self._points), prefetch)

    async def stop_consuming(self, queue: str) -> None:
        await self._inner.stop_consuming(queue)

    async def enqueue(self, envelope: Envelope) -> None:
        await self._points.reach("enqueue.before")
        await self._inner.enqueue(envelope)
        await self._points.reach("enqueue.after")

    async def park(self, envelope: Envelope) -> None:
        await self._points.reach("park.before")
        await self._inner.park(envelope)
        await self._points.reach("park.after")

    async def bury(self, envelope: Envelope, summary: bytes) -> None:
        await self._points.reach("bury.before")
        await self._inner.bury(envelope, summary)
        await self._points.reach("bury.after")

    async def quarantine(
        self, delivery: Delivery, reason: str, explanation: str, field: str = ""
    ) -> None:
        await self._points.reach("quarantine.before")
        await self._inner.quarantine(delivery, reason, explanation, field)
        await self._points.reach("quarantine.after")

    async def ack(self, delivery: Delivery) -> bool:
        await self._points.reach("ack.before")
        acked = await self._inner.ack(delivery)
        await self._points.reach("ack.after")
        return acked

    async def release(self, delivery: Delivery) -> None:
        await self._inner.release(delivery)

    def is_lost(self, delivery: Delivery) -> bool:
        return self._inner.is_lost(delivery)

    async def writable(self) -> None:
        await self._inner.writable()

    def state(self) -> BrokerState:
        return self._inner.state()

    def scheduled(self) -> int:
        return self._inner.scheduled()

    async def drain(self) -> None:
        await self._inner.drain()


class FailingStore:
    """A store with failpoints around what the journey of a task waits for."""

    def __init__(self, inner: Store, points: Failpoints) -> None:
        self._inner = inner
        self._points = points

    async def run(self) -> None:
        await self._inner.run()

    def record(self, entry: Entry) -> None:
        self._inner.record(entry)

    async def kept(self) -> None:
        await self._points.reach("kept.before")
        await self._inner.kept()
        await self._points.reach("kept.after")

    async def usable(self) -> None:
        await self._inner.usable()

    def state(self) -> StoreState:
        return self._inner.state()

    async def advance(self, change: Change) -> bool:
        await self._points.reach("advance.before")
        advanced = await self._inner.advance(change)
        await self._points.reach("advance.after")
        return advanced

    async def find(self, task_id: str, run: int | None = None) -> TaskRecord | None:
        return await self._inner.find(task_id, run)

    async def latest(self, task_id: str, fingerprint: bytes) -> TaskRecord | None:
        return await self._inner.latest(task_id, fingerprint)

    async def attempts(self, task_id: str, run: int) -> list[Attempt]:
        return await self._inner.attempts(task_id, run)

    async def tasks(self, query: TaskQuery) -> TaskPage:
        return await self._inner.tasks(query)

    async def counts(self) -> list[QueueCount]:
        return await self._inner.counts()

    async def claim(self, claim: Claim) -> Holder:
        await self._points.reach("claim.before")
        holder = await self._inner.claim(claim)
        await self._points.reach("claim.after")
        return holder

    async def keep_claim(self, key: str, run: int) -> None:
        await self._points.reach("keep_claim.before")
        await self._inner.keep_claim(key, run)
        await self._points.reach("keep_claim.after")

    async def drop_claim(self, key: str, run: int) -> None:
        await self._inner.drop_claim(key, run)

    def export(self, before: float) -> AsyncIterator[dict[str, object]]:
        return self._inner.export(before)

    async def forget(self, before: float) -> int:
        return await self._inner.forget(before)

    async def close(self) -> None:
        await self._inner.close()


def armed(broker: Broker, store: Store, dispatcher: Dispatcher) -> tuple[Broker, Store, Dispatcher]:
    """Return them with the failpoints of the environment, if there are any. Raises ConfigError."""
    text = os.environ.get("WEBHOOK_RUNNER_FAILPOINTS", "")
    if not text:
        return broker, store, dispatcher
    points = Failpoints.parse(text)
    failing = FailingBroker(broker, points), FailingStore(store, points)
    return *failing, FailingDispatcher(dispatcher, points)


def _failpoint(word: str) -> Failpoint:
    point, _, rest = word.partition(":")
    nth, _, action = rest.partition(":")
    if point not in POINTS or not nth.isdecimal() or action not in ACTIONS:
        raise ConfigError(
            f"WEBHOOK_RUNNER_FAILPOINTS: {word!r}: write POINT:NTH:ACTION with one of "
            f"{', '.join(sorted(POINTS))} and one of {', '.join(ACTIONS)}"
        )
    return Failpoint(point, int(nth), action)
