"""Deals out what is ready to who consumes it, when it is due and there is room for it."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from webhook_runner.broker.sqlite.batch import AT_ONCE, Ack, Claim, Claimed, Return, Row
from webhook_runner.broker.sqlite.group_commit import GroupCommit
from webhook_runner.broker.sqlite.record import message_of
from webhook_runner.ports import Clock, Consumer, Delivery
from webhook_runner.task.progress import copy_key


@dataclass(slots=True, eq=False)
class Subscription:
    """One consumer of one queue.

    Attributes:
        unsettled: deliveries in its hands.
        claiming: more are on their way to it.
        next_due: when its queue has more, in epoch milliseconds; None: when one is published.

    """

    queue: str
    consumer: Consumer
    prefetch: int
    unsettled: int = 0
    claiming: bool = False
    next_due: int | None = AT_ONCE


Copy = tuple[str, int, int]


@dataclass(slots=True, eq=False)
class Handle:
    """What settles a delivery; ``owner`` is the opening of the file that it came by.

    Attributes:
        copy: (id, run, gen) of the task, or None of a message that is no copy of ours.
        replaced: what follows it took its place in the file: nothing is left to settle there.

    """

    owner: int
    id: int
    subscription: Subscription
    copy: Copy | None = None
    settled: bool = False
    replaced: bool = False


def handle_of(delivery: Delivery) -> Handle:
    return cast("Handle", delivery.handle)


class Dealer:
    """``receive`` takes each delivery with its consumer. Deals nothing before ``open``."""

    def __init__(
        self,
        commits: GroupCommit,
        clock: Clock,
        receive: Callable[[Consumer, Delivery], None],
    ) -> None:
        self._commits = commits
        self._clock = clock
        self._receive = receive
        self._subscriptions: dict[str, Subscription] = {}
        self._in_hand: dict[Copy, Handle] = {}
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0
        self._owner = 0

    @property
    def queues(self) -> frozenset[str]:
        return frozenset(self._subscriptions)

    def open(self, owner: int) -> None:
        self._owner = owner
        self._deal_all()

    def close(self) -> None:
        """Deal out nothing more."""
        self._subscriptions.clear()
        if self._alarm is not None:
            self._alarm.cancel()

    def subscribe(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        """Take the place of who consumed the queue; what that one holds does not count."""
        self._subscriptions[queue] = subscription = Subscription(queue, consumer, prefetch)
        self._deal(subscription)

    def unsubscribe(self, queue: str) -> None:
        self._subscriptions.pop(queue, None)

    def in_hand(self, copy: Copy) -> Handle | None:
        """Return the unsettled delivery of a copy."""
        return self._in_hand.get(copy)

    async def ack(self, handle: Handle) -> bool:
        """Settle for good. False when the file was closed before that was written."""
        self._let_go(handle)
        if handle.replaced:
            self._make_room(handle.subscription)
            return True
        committed = self._commits.settle(Ack(handle.id))
        self._make_room(handle.subscription)
        return await committed

    async def release(self, handle: Handle) -> None:
        self._let_go(handle)
        await self._commits.settle(Return(handle.id, counted=True))
        self._make_room(handle.subscription)
        self.has_more(handle.subscription.queue, AT_ONCE)

    def has_more(self, queue: str, due: int) -> None:
        """Note that a queue has something to deal out at ``due``, in epoch milliseconds."""
        subscription = self._subscriptions.get(queue)
        if subscription is not None:
            subscription.next_due = _earlier(subscription.next_due, due)
            self._deal(subscription)

    def _let_go(self, handle: Handle) -> None:
        handle.settled = True
        if handle.copy is not None and self._in_hand.get(handle.copy) is handle:
            del self._in_hand[handle.copy]

    def _make_room(self, subscription: Subscription) -> None:
        subscription.unsettled -= 1
        self._deal(subscription)

    def _deal_all(self) -> None:
        for subscription in tuple(self._subscriptions.values()):
            self._deal(subscription)

    def _deal(self, subscription: Subscription) -> None:
        """Claim as much as the consumer has room for, now or when it is due."""
        room = subscription.prefetch - subscription.unsettled
        due = subscription.next_due
        idle = subscription.claiming or not (self._owner and self._is_current(subscription))
        if idle or room <= 0 or due is None:
            return
        now = _whole_milliseconds(self._clock.now())
        if due > now:
            self._wake_at(due)
            return
        subscription.claiming, subscription.next_due = True, None
        claim = self._commits.claim(Claim(subscription.queue, now, room))
        claim.add_done_callback(partial(self._hand_over, subscription))

    def _hand_over(self, subscription: Subscription, claim: Future[Claimed]) -> None:
        if claim.cancelled():
            return
        found = claim.result()
        subscription.claiming = False
        subscription.next_due = _earlier(subscription.next_due, found.next_due)
        if not self._is_current(subscription):
            self._give_back(subscription.queue, found.rows)
            return
        for row in found.rows:
            subscription.unsettled += 1
            self._receive(subscription.consumer, self._delivery(row, subscription))
        self._deal(subscription)

    def _is_current(self, subscription: Subscription) -> bool:
        return self._subscriptions.get(subscription.queue) is subscription

    def _give_back(self, queue: str, rows: list[Row]) -> None:
        """Return what was claimed for a consumer that wants no more; nobody has seen it."""
        for row in rows:
            self._commits.settle(Return(row.id, counted=False))
        self.has_more(queue, AT_ONCE)

    def _delivery(self, row: Row, subscription: Subscription) -> Delivery:
        message = message_of(row)
        copy = copy_key(message.headers)
        handle = Handle(self._owner, row.id, subscription, copy)
        if copy is not None:
            self._in_hand[copy] = handle
        return Delivery(
            queue=subscription.queue,
            message=message,
            redeliveries=row.deliveries,
            handle=handle,
        )

    def _wake_at(self, due: int) -> None:
        """Set the alarm, unless it rings by then anyway."""
        if self._alarm is not None and self._alarm_at <= due:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        self._alarm = asyncio.ensure_future(self._ring(due))

    async def _ring(self, due: int) -> None:
        await self._clock.sleep_until(due / 1000)
        self._alarm = None
        self._deal_all()


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((due for due in (one, other) if due is not None), default=None)


def _whole_milliseconds(now: float) -> int:
    """Return the last whole millisecond that is not after ``now``: the division decides."""
    floor = int(now * 1000)
    return floor + 1 if (floor + 1) / 1000 <= now else floor
