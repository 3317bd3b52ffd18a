"""Attempts running here, and outcomes not yet acknowledged: how a redelivery is recognised."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from hashlib import blake2b

from webhook_runner.policy.verdict import Drop, Verdict
from webhook_runner.ports import Delivery
from webhook_runner.task.model import Envelope

REMEMBERED = 10_000


SETTLED = Drop("settled_before")


@dataclass(slots=True, eq=False)
class Run:
    """One copy of a task in the hands of this process, until its delivery is settled.

    ``left`` is what the next delivery of the same copy shall do without a request: nothing is
    known while it is None, ``SETTLED`` when only the acknowledgement is missing.
    """

    key: Hashable
    delivery: Delivery
    settling: asyncio.Task[None] | None = None
    left: Verdict | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class InFlight:
    """The table of running copies, and a bounded memory of those settled or decided here.

    A copy of ours is known by (id, run, gen). A publisher's message has no generation, and two
    equal ones may be two tasks: it is matched only when the broker says it is a redelivery, and
    each redelivery takes the place of one lost delivery of equal content.
    """

    def __init__(self, is_lost: Callable[[Delivery], bool]) -> None:
        self._is_lost = is_lost
        self._running: dict[Hashable, deque[Run]] = {}
        self._left: OrderedDict[Hashable, deque[Verdict]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(runs) for runs in self._running.values())

    def settling(self) -> set[asyncio.Task[None] | None]:
        """The tasks that carry a verdict out, and are better not cut off."""
        return {run.settling for runs in self._running.values() for run in runs}

    def start(self, delivery: Delivery, envelope: Envelope) -> Run:
        run = Run(_key(delivery, envelope), delivery)
        self._running.setdefault(run.key, deque()).append(run)
        return run

    def end(self, run: Run) -> None:
        """Note that nothing more happens on this delivery; remember what a redelivery needs."""
        runs = self._running[run.key]
        runs.remove(run)
        if not runs:
            del self._running[run.key]
        if run.left is not None:
            self._remember(run.key, run.left)
        run.ended.set()

    async def left_by_predecessor(self, delivery: Delivery, envelope: Envelope) -> Verdict | None:
        """Wait for an earlier delivery of the same copy; return what it left to do, if known."""
        if not delivery.redeliveries and not envelope.gen:
            return None
        key = _key(delivery, envelope)
        for run in tuple(self._running.get(key, ())):
            if envelope.gen or self._is_lost(run.delivery):
                await run.ended.wait()
                break
        return self._recall(key, forget=not envelope.gen)

    def _remember(self, key: Hashable, left: Verdict) -> None:
        self._left.setdefault(key, deque()).append(left)
        self._left.move_to_end(key)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    def _recall(self, key: Hashable, *, forget: bool) -> Verdict | None:
        waiting = self._left.get(key)
        if waiting is None:
            return None
        left = waiting.popleft()
        if not forget:
            waiting.append(SETTLED)
        elif not waiting:
            del self._left[key]
        return left


def _key(delivery: Delivery, envelope: Envelope) -> Hashable:
    if envelope.gen:
        return envelope.key
    name = envelope.task.id if envelope.named else ""
    return (delivery.queue, name, blake2b(envelope.task.source, digest_size=16).digest())
