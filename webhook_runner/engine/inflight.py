"""Attempts running here, and outcomes not yet acknowledged: how a redelivery is recognised."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from webhook_runner.policy.verdict import Drop, Verdict
from webhook_runner.ports import Delivery
from webhook_runner.task.model import Envelope

REMEMBERED = 10_000

Name = TypeVar("Name", bound=Hashable)

SETTLED = Drop("settled_before")


@dataclass(slots=True, eq=False)
class Run:
    """One copy of a task in the hands of this process, until its delivery is settled.

    ``left`` is what the next delivery of the same copy shall do without a request: nothing is
    known while it is None, ``SETTLED`` when only the acknowledgement is missing.

    Attributes:
        envelope: what is carried; that of the earlier delivery, when its verdict is carried out.
        name: the id of its task, as this delivery gives it.
        before: the earlier delivery of the same copy that is still under way.
        inherited: what an earlier delivery, under way no longer, has left.
        followed: a later delivery waits for what this one leaves.
        task: who carries it.
        sending: who waits for the answer to its request, while one is under way.
        sent: a request of it was begun.
        cut: its request was cut off, because the task is cancelled.
        verdict: what is being carried out, or was.

    """

    key: Hashable
    delivery: Delivery
    envelope: Envelope
    name: str
    before: "Run | None" = None
    inherited: "Left | None" = None
    followed: bool = False
    task: asyncio.Task[None] | None = None
    left: Verdict | None = None
    has_ended: bool = False
    sending: asyncio.Task[None] | None = None
    sent: bool = False
    cut: bool = False
    verdict: Verdict | None = None
    _waited: asyncio.Event | None = None

    async def over(self) -> None:
        """Wait until nothing more happens on this delivery."""
        while not self.has_ended:
            if self._waited is None:
                self._waited = asyncio.Event()
            await self._waited.wait()

    def end(self) -> None:
        self.has_ended = True
        if self._waited is not None:
            self._waited.set()

    def cut_off(self) -> None:
        """Break off the request that is under way, if one is."""
        if self.sending is not None and not self.cut:
            self.cut = True
            self.sending.cancel()

    def begin_sending(self) -> None:
        self.sending = self.task
        self.sent = True

    def end_sending(self) -> None:
        """Take the cut back, so that what follows the request is carried out."""
        if self.cut and self.sending is not None:
            self.sending.uncancel()
        self.sending = None

    @property
    def was_only_cut(self) -> bool:
        """Whether the request was broken off by ``cut_off``, and by no shutdown as well."""
        return self.cut and self.sending is not None and self.sending.cancelling() == 1


Left = tuple[Envelope, Verdict]


class InFlight:
    """The table of running copies, and a bounded memory of those settled or decided here.

    A copy of ours is known by (id, run, gen). A publisher's message has no generation, and two
    equal ones may be two tasks: it is matched only when the broker says it is a redelivery, and
    each redelivery takes the place of one lost delivery of equal content.

    ``settling`` are the tasks that carry a verdict out, and are better not cut off.
    """

    def __init__(self, is_lost: Callable[[Delivery], bool]) -> None:
        self._is_lost = is_lost
        self._running: dict[Hashable, list[Run]] = {}
        self._named: dict[str, list[Run]] = {}
        self._left: OrderedDict[Hashable, deque[Left]] = OrderedDict()
        self.settling: set[asyncio.Task[None] | None] = set()

    def __len__(self) -> int:
        return sum(len(runs) for runs in self._running.values())

    @contextmanager
    def rejecting(self) -> Iterator[None]:
        """Have what sets an invalid message aside counted among those that settle."""
        task = asyncio.current_task()
        self.settling.add(task)
        try:
            yield
        finally:
            self.settling.discard(task)

    def of(self, task_id: str) -> tuple[Run, ...]:
        """The copies of a task that are in our hands."""
        return tuple(self._named.get(task_id, ()))

    def left_of(self, ids: Collection[str]) -> Iterator[tuple[str, Verdict]]:
        """Tell of these tasks what a delivery that is still to come is to do, without a request."""
        for entries in self._left.values():
            for envelope, verdict in entries:
                if envelope.task.id in ids:
                    yield envelope.task.id, verdict

    def start(self, delivery: Delivery, envelope: Envelope) -> Run:
        """Note a delivery; it takes the place of the earlier one of the same copy, if any."""
        key = _key(delivery, envelope)
        run = Run(key, delivery, envelope, envelope.task.id, task=asyncio.current_task())
        if envelope.gen or delivery.redeliveries:
            run.before = self._predecessor(key, ours=envelope.gen > 0)
            if run.before is None:
                run.inherited = self._recall(key)
            else:
                run.before.followed = True
        _add(self._running, key, run)
        _add(self._named, run.name, run)
        return run

    def end(self, run: Run) -> None:
        """Note that nothing more happens on this delivery; remember what a redelivery needs."""
        _remove(self._running, run.key, run)
        _remove(self._named, run.name, run)
        self.settling.discard(run.task)
        if run.left is not None and not run.followed:
            self._remember(run.key, (run.envelope, run.left))
        run.end()

    async def left_before(self, run: Run) -> Verdict | None:
        """Wait for the earlier delivery of the same copy; return what it left to do, if known."""
        if run.before is None:
            return _inherit(run, *run.inherited) if run.inherited else None
        await run.before.over()
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


def _add(table: dict[Name, list[Run]], name: Name, run: Run) -> None:
    runs = table.get(name)
    if runs is None:
        table[name] = [run]
    else:
        runs.append(run)


def _remove(table: dict[Name, list[Run]], name: Name, run: Run) -> None:
    runs = table[name]
    runs.remove(run)
    if not runs:
        del table[name]


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
