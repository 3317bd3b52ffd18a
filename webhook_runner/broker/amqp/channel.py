"""One AMQP channel in our words: what it hands over, and errors that say what happened to it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import Struct
from pamqp.base import Frame
from pamqp.commands import Basic
from pamqp.commands import Exchange as Exchanges
from pamqp.commands import Queue as Queues

from webhook_runner.broker.amqp.topology import Binding, Exchange, Queue

Answer = TypeVar("Answer", bound=Frame)


class Outgoing(Struct, frozen=True, eq=False):
    """A message to publish. ``message_id`` is for quarantined messages; else one is made.

    Those that are ``in_order`` reach their queues in the order they were given to us.
    """

    exchange: str
    key: str
    body: bytes
    headers: Mapping[str, object]
    content_type: str = ""
    content_encoding: str = ""
    correlation_id: str = ""
    message_id: str = ""
    timestamp: float | None = None
    in_order: bool = False


class Arrival(Struct, frozen=True, eq=False):
    """A message as the broker hands it over on ``channel``."""

    channel: "Channel"
    tag: int
    redelivered: bool
    exchange: str
    key: str
    body: bytes
    headers: Mapping[str, object]
    content_type: str
    content_encoding: str
    correlation_id: str
    message_id: str
    timestamp: float | None
    persistent: bool
    expiration: bool


Receiver = Callable[[Arrival], None]


class Channel(ABC):
    """One channel of a `Line`. Every call raises `LostError` once it is closed.

    A call that is cancelled goes on in the background: only its answer is not waited for.
    """

    def __init__(self) -> None:
        self._prefetch: int | None = None

    @property
    @abstractmethod
    def is_closed(self) -> bool: ...

    @abstractmethod
    def on_close(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with the reason when the channel closes, whoever closes it."""

    @abstractmethod
    def on_cancel(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with the consumer tag when the broker cancels a consumer of ours."""

    async def declare_exchange(self, exchange: Exchange, *, passive: bool = False) -> None:
        asked = Exchanges.Declare(
            exchange=exchange.name,
            exchange_type=exchange.kind,
            passive=passive,
            durable=True,
            arguments=dict(exchange.arguments),
        )
        await self._ask(asked, Exchanges.DeclareOk)

    async def declare_queue(self, queue: Queue) -> None:
        asked = Queues.Declare(queue=queue.name, durable=True, arguments=dict(queue.arguments))
        await self._ask(asked, Queues.DeclareOk)

    async def declare_own(self, name: str, limit: int) -> None:
        """Declare a queue that is gone with this connection; it forgets the oldest of too many."""
        asked = Queues.Declare(
            queue=name,
            exclusive=True,
            auto_delete=True,
            arguments={"x-queue-type": "classic", "x-max-length": limit},
        )
        await self._ask(asked, Queues.DeclareOk)

    async def count(self, queue: str) -> int:
        """Return how many messages are ready in ``queue``. Raises `MissingError`."""
        answer = await self._ask(Queues.Declare(queue=queue, passive=True), Queues.DeclareOk)
        return answer.message_count or 0

    async def bind(self, binding: Binding) -> None:
        asked = Queues.Bind(queue=binding.queue, exchange=binding.exchange, routing_key=binding.key)
        await self._ask(asked, Queues.BindOk)

    async def purge(self, queue: str) -> int:
        """Remove what is ready in ``queue``; how many that were. Raises `MissingError`."""
        answer = await self._ask(Queues.Purge(queue=queue), Queues.PurgeOk)
        return answer.message_count or 0

    async def consume(
        self,
        queue: str,
        tag: str,
        prefetch: int,
        receive: Receiver,
        *,
        offset: str | int | None = None,
        settled: bool = False,
    ) -> None:
        """Start a consumer; ``receive`` must neither block nor raise.

        ``offset`` is where in a stream to begin; ``settled``: nothing is to be acknowledged.
        """
        self._hand_to(tag, receive, settled=settled)
        if prefetch != self._prefetch:
            await self._ask(Basic.Qos(prefetch_count=prefetch), Basic.QosOk)
            self._prefetch = prefetch
        asked = Basic.Consume(
            queue=queue,
            consumer_tag=tag,
            no_ack=settled,
            arguments=None if offset is None else {"x-stream-offset": offset},
        )
        await self._ask(asked, Basic.ConsumeOk)

    async def cancel(self, tag: str) -> None:
        """Stop a consumer; all that it was handed has been received when this returns."""
        await self._ask(Basic.Cancel(consumer_tag=tag), Basic.CancelOk)
        self._hand_to(tag, None)

    @abstractmethod
    def ack(self, tag: int, *, before: bool = False) -> None:
        """Settle a message for good, or also all that came ``before`` it."""

    @abstractmethod
    def release(self, tag: int) -> None:
        """Give a message back to its queue."""

    async def flush(self) -> None:
        """Return when the broker has read all that was sent on this channel."""
        await self._ask(Basic.Qos(prefetch_count=self._prefetch or 1), Basic.QosOk)

    @abstractmethod
    async def publish(self, out: Outgoing, message_id: str) -> None:
        """Publish persistent and mandatory, and wait for the confirm.

        Raises:
            ReturnedError: no queue took it.
            NackedError: a queue refused it.
            LostError: the channel closed first; whether it landed is unknown.

        """

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def _ask(self, asked: Frame, answer: type[Answer]) -> Answer:
        """Send a method and wait for its answer, after all that was sent before."""

    @abstractmethod
    def _hand_to(self, tag: str, receive: Receiver | None, *, settled: bool = False) -> None:
        """Hand what comes for a consumer to ``receive``, or to nobody any more."""
