"""Carry a verdict out: publish what follows, tell, acknowledge. Nothing else settles deliveries."""

import msgspec
from msgspec.structs import replace

from webhook_runner.errors import InvalidTaskError
from webhook_runner.policy.verdict import (
    Cancel,
    Complete,
    Drop,
    Expire,
    Fail,
    Forward,
    Postpone,
    Release,
    Retry,
    Verdict,
)
from webhook_runner.ports import Broker, Delivery, Observer, Store
from webhook_runner.task.event import (
    Event,
    RetryScheduled,
    TaskCancelled,
    TaskDropped,
    TaskFailed,
    TaskForwarded,
    TaskRejected,
    TaskReleased,
    TaskScheduled,
    TaskSucceeded,
)
from webhook_runner.task.model import Envelope


class Settlement:
    """The one place that acknowledges: after every successor is confirmed, and all is recorded."""

    def __init__(self, broker: Broker, store: Store, observer: Observer) -> None:
        self._broker = broker
        self._store = store
        self._observer = observer

    async def settle(self, delivery: Delivery, envelope: Envelope, verdict: Verdict) -> bool:
        """Return whether the delivery is settled; if not, the broker will hand it over again."""
        self._observer.notice(await self._publish(envelope, verdict))
        if not isinstance(verdict, Release):
            await self._store.kept()
            return await self._broker.ack(delivery)
        await self._broker.release(delivery)
        return False

    async def reject(self, delivery: Delivery, error: InvalidTaskError) -> None:
        """Set an invalid message aside, with its bytes and the reason, and acknowledge it."""
        await self._broker.quarantine(delivery, error.reason, str(error), error.field)
        self._observer.notice(TaskRejected(delivery.queue, error.reason, str(error), error.field))
        await self._store.kept()
        await self._broker.ack(delivery)

    async def give_back(self, delivery: Delivery) -> None:
        """Give back a delivery that could not be dealt with at all."""
        await self._broker.release(delivery)

    async def _publish(self, envelope: Envelope, verdict: Verdict) -> Event:
        match verdict:
            case Complete(status):
                return TaskSucceeded(envelope, status)
            case Retry(following, delay, reason):
                await self._broker.park(following)
                return RetryScheduled(following, delay, reason)
            case Postpone(following, until, why):
                await self._broker.park(following)
                return TaskScheduled(following, until, why)
            case Forward(following, errand):
                await self._broker.enqueue(following)
                return TaskForwarded(following, errand)
            case Fail() | Expire() | Cancel():
                return await self._end(envelope, verdict)
            case Drop(reason, of):
                return TaskDropped(envelope, reason, of)
            case Release():
                return TaskReleased(envelope)

    async def _end(
        self, envelope: Envelope, verdict: Fail | Expire | Cancel
    ) -> TaskFailed | TaskCancelled:
        if verdict.rollback is not None:
            await self._broker.enqueue(verdict.rollback)
        if isinstance(verdict, Cancel):
            return TaskCancelled(envelope, rolled_back=verdict.rollback is not None)
        # The letter of a roll-back goes on naming the failure that it was to undo.
        buried = replace(envelope, failure=envelope.failure or verdict.failure)
        await self._broker.bury(buried, msgspec.json.encode(verdict.told))
        return TaskFailed(
            envelope,
            verdict.failure,
            expired=isinstance(verdict, Expire),
            rolled_back=verdict.rollback is not None,
        )
