"""Attempts running here, and outcomes not yet acknowledged: how a redelivery is recognised."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from msgspec.structs import replace

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

    Attributes:
        envelope: what is carried; that of the earlier delivery, when its verdict is carried out.
        before: the earlier delivery of the same copy that is still under way.
        inherited: what an earlier delivery, under way no longer, has left.
        followed: a later delivery waits for what this one leaves.

    """

    key: Hashable
    delivery: Delivery
    envelope: Envelope
    before: "Run | None" = None
    inherited: "Left | None" = None
    followed: bool = False
    settling: asyncio.Task[None] | None = None
    left: Verdict | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


Left = tuple[Envelope, Verdict]


class InFlight:
    """The table of running copies, and a bounded memory of those settled or decided here.

    A copy of ours is known by (id, run, gen). A publisher's message has no generation, and two
    equal ones may be two tasks: it is matched only when the broker says it is a redelivery, and
    each redelivery takes the place of one lost delivery of equal content.
    """

    def __init__(self, is_lost: Callable[[Delivery], bool]) -> None:
        self._is_lost = is_lost
        self._running: dict[Hashable, list[Run]] = {}
        self._left: OrderedDict[Hashable, deque[Left]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(runs) for runs in self._running.values())

    def settling(self) -> set[asyncio.Task[None] | None]:
        """The tasks that carry a verdict out, and are better not cut off."""
        return {run.settling for runs in self._running.values() for run in runs}

    def start(self, delivery: Delivery, envelope: Envelope) -> Run:
        """Note a delivery; it takes the place of the earlier one of the same copy, if any."""
        key = _key(delivery, envelope)
        run = Run(key, delivery, envelope)
        if envelope.gen or delivery.redeliveries:
            run.before = self._predecessor(key, ours=envelope.gen > 0)
            if run.before is None:
                run.inherited = self._recall(key)
            else:
                run.before.followed = True
        self._running.setdefault(key, []).append(run)
        return run

    def end(self, run: Run) -> None:
        """Note that nothing more happens on this delivery; remember what a redelivery needs."""
        runs = self._running[run.key]
        runs.remove(run)
        if not runs:
            del self._running[run.key]
        if run.left is not None and not run.followed:
            self._remember(run.key, (run.envelope, run.left))
        run.ended.set()

    async def left_before(self, run: Run) -> Verdict | None:
        """Wait for the earlier delivery of the same copy; return what it left to do, if known."""
        if run.before is None:
            return _inherit(run, *run.inherited) if run.inherited else None
        await run.before.ended.wait()
        before, run.before = run.before, None
        return _inherit(run, before.envelope, before.left)

    def _predecessor(self, key: Hashable, *, ours: bool) -> Run | None:
        """Return the last run of a copy of ours, or a lost one that nobody follows yet."""
        runs = self._running.get(key, [])
        if ours:
            return runs[-1] if runs else None
        lost = (run for run in runs if not run.followed and self._is_lost(run.delivery))
        return next(lost, None)

    def _remember(self, key: Hashable, left: Left) -> None:
        self._left.setdefault(key, deque(maxlen=REMEMBERED)).append(left)
        self._left.move_to_end(key)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    def _recall(self, key: Hashable) -> Left | None:
        """Take what was left: who takes it carries it out, and leaves word of that in turn."""
        waiting = self._left.get(key)
        if waiting is None:
            return None
        left = waiting.popleft()
        if not waiting:
            del self._left[key]
        return left


def _inherit(run: Run, envelope: Envelope, left: Verdict | None) -> Verdict | None:
    """Go on as the same run; and with what is known of its attempt, when that has its verdict."""
    if left is None:
        run.envelope = replace(run.envelope, run=envelope.run)
    else:
        run.envelope = replace(envelope, turn=run.envelope.turn)
    return left


def _key(delivery: Delivery, envelope: Envelope) -> Hashable:
    if envelope.gen:
        return envelope.key
    name = envelope.task.id if envelope.named else ""
    return (delivery.queue, name, delivery.message.timestamp, envelope.task.fingerprint)
