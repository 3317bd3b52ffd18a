"""One AMQP channel in our words: what it hands over, and errors that say what happened to it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from aiormq.abc import ChannelFrame, DeliveredMessage

from webhook_runner.broker.amqp import frames
from webhook_runner.broker.amqp.faults import LostError, describe, translated
from webhook_runner.broker.amqp.lean_channel import LeanChannel
from webhook_runner.broker.amqp.topology import Binding, Exchange, Queue

T = TypeVar("T")
_PERSISTENT = 2


@dataclass(frozen=True, slots=True)
class Outgoing:
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


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A message as the broker hands it over on ``channel``."""

    channel: "Channel" = field(repr=False)
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


async def _never(_: DeliveredMessage) -> None:
    """Stand in for the library's own way of delivering."""


class Channel:
    """Wraps one channel. Every call raises `LostError` once it is closed.

    A call that is cancelled goes on in the background: the library would close the channel.
    """

    def __init__(self, raw: LeanChannel) -> None:
        self._raw = raw
        raw.closing.add_done_callback(lambda _: raw.end_confirms())
        self._prefetch: int | None = None
        self._outbox: list[bytes] = []
        self._sending = False

    @property
    def is_closed(self) -> bool:
        return self._raw.is_closed

    def on_close(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with the reason when the channel closes, whoever closes it."""

        def told(closing: asyncio.Future[object]) -> None:
            error = None if closing.cancelled() else closing.exception()
            tell(describe(error))

        self._raw.closing.add_done_callback(told)

    def on_cancel(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with the consumer tag when the broker cancels a consumer of ours."""
        self._raw.on_consumer_cancel_callbacks.add(lambda frame: tell(str(frame.consumer_tag)))

    async def declare_exchange(self, exchange: Exchange, *, passive: bool = False) -> None:
        await self._call(
            self._raw.exchange_declare(
                exchange.name,
                exchange_type=exchange.kind,
                passive=passive,
                durable=True,
                arguments=dict(exchange.arguments),
            )
        )

    async def declare_queue(self, queue: Queue) -> None:
        await self._call(
            self._raw.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        )

    async def declare_own(self, name: str, limit: int) -> None:
        """Declare a queue that is gone with this connection; it forgets the oldest of too many."""
        await self._call(
            self._raw.queue_declare(
                name,
                exclusive=True,
                auto_delete=True,
                arguments={"x-queue-type": "classic", "x-max-length": limit},
            )
        )

    async def count(self, queue: str) -> int:
        """Return how many messages are ready in ``queue``. Raises `MissingError`."""
        answer = await self._call(self._raw.queue_declare(queue, passive=True))
        return answer.message_count or 0

    async def bind(self, binding: Binding) -> None:
        await self._call(self._raw.queue_bind(binding.queue, binding.exchange, binding.key))

    async def purge(self, queue: str) -> int:
        """Remove what is ready in ``queue``; how many that were. Raises `MissingError`."""
        return (await self._call(self._raw.queue_purge(queue))).message_count or 0

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
        self._raw.receivers[tag] = lambda message: receive(_arrival(self, message))
        if prefetch != self._prefetch:
            await self._call(self._raw.basic_qos(prefetch_count=prefetch))
            self._prefetch = prefetch
        await self._call(
            self._raw.basic_consume(
                queue,
                _never,
                no_ack=settled,
                consumer_tag=tag,
                arguments=None if offset is None else {"x-stream-offset": offset},
            )
        )

    async def cancel(self, tag: str) -> None:
        """Stop a consumer; all that it was handed has been received when this returns."""
        await self._call(self._raw.basic_cancel(tag))
        self._raw.receivers.pop(tag, None)

    def ack(self, tag: int, *, before: bool = False) -> None:
        """Settle a message for good, or also all that came ``before`` it."""
        self._send(frames.ack(self._raw.number, tag, before=before))

    def release(self, tag: int) -> None:
        """Give a message back to its queue."""
        self._send(frames.give_back(self._raw.number, tag))

    async def flush(self) -> None:
        """Return when the broker has read all that was sent on this channel."""
        while self._sending and not self.is_closed:  # noqa: ASYNC110 - over within some turns
            await asyncio.sleep(0)
        await self._call(self._raw.basic_qos(prefetch_count=self._prefetch or 1))

    async def publish(self, out: Outgoing, message_id: str) -> None:
        """Publish persistent and mandatory, and wait for the confirm.

        Raises:
            ReturnedError: no queue took it.
            NackedError: a queue refused it.
            LostError: the channel closed first; whether it landed is unknown.

        """
        packed = frames.publish(self._raw.number, out.exchange, out.key) + frames.content(
            self._raw.number,
            out.body,
            out.headers,
            message_id=out.message_id or message_id,
            content_type=out.content_type,
            content_encoding=out.content_encoding,
            correlation_id=out.correlation_id,
            timestamp=out.timestamp,
            largest=self._raw.max_content_size,
        )
        confirm = self._raw.confirm_next(out.message_id or message_id)
        self._send(packed)
        with translated():
            await confirm

    async def close(self) -> None:
        await asyncio.shield(self._raw.close())

    def _send(self, packed: bytes) -> None:
        """Queue frames for the socket: all of one turn of the loop go in one write."""
        if self._raw.is_closed:
            raise LostError("the channel is closed")
        self._outbox.append(packed)
        if not self._sending:
            self._sending = True
            self._raw.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        packed = ChannelFrame(b"".join(self._outbox), should_close=False)
        try:
            self._raw.write_queue.put_nowait(packed)
        except asyncio.QueueFull:
            if not self._raw.is_closed:
                self._raw.create_task(self._flush_later())
        else:
            self._outbox.clear()
            self._sending = False

    async def _flush_later(self) -> None:
        while self._outbox:
            packed, self._outbox = b"".join(self._outbox), []
            await self._raw.write_queue.put(ChannelFrame(packed, should_close=False))
        self._sending = False

    async def _call(self, call: Awaitable[T]) -> T:
        with translated():
            return await asyncio.shield(call)


def _arrival(channel: Channel, message: DeliveredMessage) -> Arrival:
    properties = message.header.properties
    return Arrival(
        channel=channel,
        tag=message.delivery_tag or 0,
        redelivered=bool(message.redelivered),
        exchange=message.exchange or "",
        key=message.routing_key or "",
        body=message.body,
        headers=properties.headers or {},
        content_type=properties.content_type or "",
        content_encoding=properties.content_encoding or "",
        correlation_id=properties.correlation_id or "",
        message_id=properties.message_id or "",
        timestamp=(properties.timestamp.timestamp() if properties.timestamp else 0) or None,
        persistent=properties.delivery_mode == _PERSISTENT,
        expiration=bool(properties.expiration),
    )
