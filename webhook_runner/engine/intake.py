"""Tasks that come in by request instead of by a broker: checked, kept by the broker, promised."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import repeat

from webhook_runner.engine.duplicates import Duplicate, Duplicates
from webhook_runner.engine.lane import Lanes
from webhook_runner.engine.reception import Reception
from webhook_runner.errors import (
    BrokerUnavailableError,
    ConflictError,
    InvalidTaskError,
    StoreUnavailableError,
)
from webhook_runner.policy.verdict import Why
from webhook_runner.ports import Broker, Clock, Observer, Store
from webhook_runner.task.event import (
    TaskAccepted,
    TaskRefused,
    TaskScheduled,
    Warned,
)
from webhook_runner.task.model import Envelope, Message

PATIENCE = 5.0
"""Seconds a publish may take to be confirmed before who waits for it is told to come again."""

_TURN = 25  # so many tasks are read before others have their turn of the event loop

Unavailable = BrokerUnavailableError | StoreUnavailableError
Answer = Envelope | Duplicate | InvalidTaskError | ConflictError | Unavailable


class Intake:
    """Takes task messages at the same door as the consumers of queues, and by the same rules."""

    def __init__(
        self,
        reception: Reception,
        lanes: Lanes,
        broker: Broker,
        store: Store,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._reception = reception
        self._lanes = lanes
        self._broker = broker
        self._store = store
        self._duplicates = Duplicates(store, clock)
        self._observer = observer
        self._clock = clock
        self._closed = ""
        self._publishing: set[asyncio.Task[Answer]] = set()

    @property
    def max_message_bytes(self) -> int:
        """How large one task may be, in bytes; a reload changes it."""
        return self._reception.settings.max_message_bytes

    @property
    def knows_duplicates(self) -> bool:
        """Whether there is a store, which tells tasks that come again."""
        return self._store.state().kind != "none"

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
            ConflictError: its id was used before, for this task or for another.
            BrokerUnavailableError: it is not known to be kept. When the confirm did not come in
                time, it may be kept nevertheless.
            StoreUnavailableError: the store is in trouble, and no task is taken before it is over.

        """
        (answer,) = await self.accept_many([body], queue, traceparent)
        if isinstance(answer, Duplicate):
            raise ConflictError(f"task {answer.id!r} was handed in before")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def accept_many(
        self,
        bodies: Sequence[bytes],
        queue: str = "",
        traceparent: str = "",
        keys: Sequence[str] = (),
    ) -> list[Answer]:
        """Do the same for many, all published at once; each has its own answer, in their order.

        With a store, a task whose id or key stands for one that was taken within ``dedup_window``
        is answered with that one, and with a conflict when the content is another. ``keys`` has
        an idempotency key for each body, or "". Without a store nothing is known of earlier
        tasks: every body is a new one, and keys are not looked at.
        """
        answers: list[Answer] = []
        for number, body in enumerate(bodies, 1):
            answers.append(self._read(body, queue, traceparent))
            if number % _TURN == 0:
                await asyncio.sleep(0)
        words = keys or repeat("", len(bodies))
        read = zip(answers, words, strict=True)
        taken = [(answer, word) for answer, word in read if isinstance(answer, Envelope)]
        found = iter(await self._take_all(taken) if taken else ())
        told = [next(found) if isinstance(answer, Envelope) else answer for answer in answers]
        for answer in told:
            self._tell(answer, queue or self._reception.settings.default_queue)
        return told

    async def keep(self, envelope: Envelope) -> None:
        """Publish a copy that was made here, and tell nobody yet.

        Raises:
            BrokerUnavailableError, StoreUnavailableError: as ``accept`` does.

        """
        if obstacle := self._obstacle():
            raise obstacle
        try:
            async with asyncio.timeout(PATIENCE):
                await self._publish(envelope)
        except TimeoutError:
            raise _unconfirmed() from None

    def _read(self, body: bytes, queue: str, traceparent: str) -> Answer:
        try:
            return self._reception.admit(Message(body, traceparent=traceparent), queue)
        except InvalidTaskError as error:
            return error

    async def _take_all(self, tasks: list[tuple[Envelope, str]]) -> list[Answer]:
        """Return what became of each: what is not known to be kept is answered with the reason."""
        if obstacle := self._obstacle():
            return [obstacle] * len(tasks)
        publishes = [asyncio.create_task(self._take(*each)) for each in tasks]
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
        return [self._outcome(publish) for publish in publishes]

    def _obstacle(self) -> Unavailable | None:
        state, store = self._broker.state(), self._store.state()
        if self._closed or not state.connected:
            return BrokerUnavailableError(self._closed or "there is no connection to the broker")
        if state.blocked:
            return BrokerUnavailableError(f"the broker takes nothing now: {state.blocked}")
        if store.trouble and store.waits:
            return StoreUnavailableError(f"the store takes nothing now: {store.trouble}")
        return None

    async def _take(self, envelope: Envelope, word: str) -> Answer:
        if not self._duplicates.concern(envelope, word):
            await self._publish(envelope)
            return envelope
        settings = self._lanes[envelope.task.queue].settings
        async with self._duplicates.claimed(envelope, settings, word) as answer:
            if isinstance(answer, Envelope):
                await self._publish(answer)
        return answer

    async def _publish(self, envelope: Envelope) -> None:
        task = envelope.task
        is_too_late = task.expires is not None and envelope.due_at >= task.expires
        if envelope.due_at > self._clock.now() and not is_too_late:
            await self._broker.park(envelope)
        else:
            # What will have expired when it is due has so already: its roll-back need not wait.
            self._lanes[task.queue].expect(task.url)
            await self._broker.enqueue(envelope)

    def _outcome(self, publish: "asyncio.Task[Answer]") -> Answer:
        if publish.cancelled():
            return _unconfirmed()
        error = publish.exception()
        if error is None:
            return publish.result()
        if isinstance(error, StoreUnavailableError):
            return StoreUnavailableError(f"the store takes nothing now: {error}")
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
            case ConflictError():
                self._observer.notice(TaskRefused(queue, "id_reused", str(answer)))
            case BrokerUnavailableError() | StoreUnavailableError():
                self._observer.notice(TaskRefused(queue, "unavailable", str(answer)))
            case Duplicate():
                self._observer.notice(TaskRefused(answer.queue, "duplicate", f"of {answer.id}"))


def _unconfirmed() -> BrokerUnavailableError:
    return BrokerUnavailableError(f"not confirmed by the broker within {PATIENCE:g} s")
