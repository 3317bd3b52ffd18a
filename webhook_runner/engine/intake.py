"""Tasks that come in by request instead of by a broker: checked, kept by the broker, promised."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from webhook_runner.engine.reception import Reception
from webhook_runner.errors import BrokerUnavailableError, InvalidTaskError
from webhook_runner.policy.verdict import Why
from webhook_runner.ports import Broker, Clock, Observer
from webhook_runner.task.event import TaskAccepted, TaskRefused, TaskScheduled, Warned
from webhook_runner.task.model import Envelope, Message

PATIENCE = 5.0
"""Seconds a publish may take to be confirmed before who waits for it is told to come again."""

_TURN = 25  # so many tasks are read before others have their turn of the event loop

Answer = Envelope | InvalidTaskError | BrokerUnavailableError


class Intake:
    """Takes task messages at the same door as the consumers of queues, and by the same rules."""

    def __init__(
        self, reception: Reception, broker: Broker, observer: Observer, clock: Clock
    ) -> None:
        self._reception = reception
        self._broker = broker
        self._observer = observer
        self._clock = clock
        self._closed = ""
        self._publishing: set[asyncio.Task[None]] = set()

    @property
    def max_message_bytes(self) -> int:
        """How large one task may be, in bytes; a reload changes it."""
        return self._reception.settings.max_message_bytes

    def close(self, why: str) -> None:
        """Take nothing more, and say why."""
        self._closed = why

    async def finish(self) -> None:
        """Wait until nothing is being published any more; bounded by ``PATIENCE``."""
        while self._publishing:
            await asyncio.wait(set(self._publishing))

    async def accept(self, body: bytes, queue: str = "", traceparent: str = "") -> Envelope:
        """Return the task in ``body`` once the broker has confirmed that it keeps it.

        A task that does not name a queue goes to ``queue``, or to ``default_queue``.

        Raises:
            InvalidTaskError: the message breaks a rule; says which, where, what would be right.
            BrokerUnavailableError: it is not known to be kept. When the confirm did not come in
                time, it may be kept nevertheless.

        """
        (answer,) = await self.accept_many([body], queue, traceparent)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def accept_many(
        self, bodies: Sequence[bytes], queue: str = "", traceparent: str = ""
    ) -> list[Answer]:
        """Do the same for many, all published at once; each has its own answer, in their order."""
        answers: list[Answer] = []
        for number, body in enumerate(bodies, 1):
            answers.append(self._read(body, queue, traceparent))
            if number % _TURN == 0:
                await asyncio.sleep(0)
        taken = [answer for answer in answers if isinstance(answer, Envelope)]
        failed = await self._publish_all(taken) if taken else {}
        told = [failed.get(id(answer), answer) for answer in answers]
        for answer in told:
            self._tell(answer, queue or self._reception.settings.default_queue)
        return told

    async def keep(self, envelope: Envelope) -> None:
        """Publish a copy that was made here, and tell nobody yet.

        Raises:
            BrokerUnavailableError: as ``accept`` does.

        """
        for trouble in (await self._publish_all([envelope])).values():
            raise trouble

    def _read(self, body: bytes, queue: str, traceparent: str) -> Answer:
        try:
            return self._reception.admit(Message(body, traceparent=traceparent), queue)
        except InvalidTaskError as error:
            return error

    async def _publish_all(self, envelopes: list[Envelope]) -> dict[int, BrokerUnavailableError]:
        """Return what is not known to be kept, by the identity of its envelope."""
        if why := self._obstacle():
            return {id(each): BrokerUnavailableError(why) for each in envelopes}
        publishes = [asyncio.create_task(self._publish(each)) for each in envelopes]
        self._publishing.update(publishes)
        late = asyncio.ensure_future(self._clock.sleep(PATIENCE))
        confirmed = asyncio.gather(*publishes, return_exceptions=True)
        try:
            await asyncio.wait((confirmed, late), return_when=asyncio.FIRST_COMPLETED)
        finally:
            late.cancel()
            confirmed.cancel()
            with suppress(asyncio.CancelledError):
                await confirmed
            self._publishing.difference_update(publishes)
        outcomes = zip(envelopes, map(self._trouble, publishes), strict=True)
        return {id(each): trouble for each, trouble in outcomes if trouble is not None}

    def _obstacle(self) -> str:
        state = self._broker.state()
        if self._closed or not state.connected:
            return self._closed or "there is no connection to the broker"
        return f"the broker takes nothing now: {state.blocked}" if state.blocked else ""

    async def _publish(self, envelope: Envelope) -> None:
        task = envelope.task
        is_too_late = task.expires is not None and envelope.due_at >= task.expires
        if envelope.due_at > self._clock.now() and not is_too_late:
            await self._broker.park(envelope)
        else:
            # What will have expired when it is due has so already: its roll-back need not wait.
            await self._broker.enqueue(envelope)

    def _trouble(self, publish: "asyncio.Task[None]") -> BrokerUnavailableError | None:
        if publish.cancelled():
            return BrokerUnavailableError(f"not confirmed by the broker within {PATIENCE:g} s")
        error = publish.exception()
        if error is None:
            return None
        self._observer.notice(Warned("intake", f"a publish failed: {error!r}"))
        return BrokerUnavailableError("the broker did not take it; the log says why")

    def _tell(self, answer: Answer, queue: str) -> None:
        match answer:
            case Envelope():
                self._observer.notice(TaskAccepted(answer))
                if answer.due_at > self._clock.now():
                    self._observer.notice(TaskScheduled(answer, answer.due_at, Why.NOT_DUE))
            case InvalidTaskError():
                refused = TaskRefused(queue, answer.reason, str(answer), answer.field)
                self._observer.notice(refused)
            case BrokerUnavailableError():
                self._observer.notice(TaskRefused(queue, "unavailable", str(answer)))
