"""A channel of the AMQP library, without what it spends on every message."""

import asyncio
from collections.abc import Callable
from typing import cast

from aiormq.abc import AbstractConnection, ChannelFrame, DeliveredMessage
from aiormq.channel import Channel as LibrarysOwn
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.base import Frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from webhook_runner.broker.amqp import frames
from webhook_runner.broker.amqp.channel import Answer, Arrival, Channel, Outgoing, Receiver
from webhook_runner.broker.amqp.content import PERSISTENT
from webhook_runner.broker.amqp.faults import LostError
from webhook_runner.broker.amqp.library_faults import describe, translated

FRAME_BUFFER = 100


class RawChannel(LibrarysOwn):
    """The library's channel without a task for each delivery and without its locks to publish."""

    def __init__(self, connector: AbstractConnection, number: int, *, confirms: bool) -> None:
        super().__init__(connector, number, publisher_confirms=confirms, frame_buffer=FRAME_BUFFER)
        self.receivers: dict[str, Callable[[DeliveredMessage], None]] = {}

    async def _on_deliver_frame(self, frame: Basic.Deliver) -> None:
        header = await self._get_frame()
        message = await self._read_content(frame, cast("ContentHeader", header))
        receive = self.receivers.get(frame.consumer_tag or "")
        if receive is not None:
            receive(message)

    def confirm_next(self, message_id: str) -> asyncio.Future[object]:
        """Return the future of the next publish's confirm, which has the next number."""
        self.delivery_tag = number = self.delivery_tag + 1
        confirm: asyncio.Future[object] = self.loop.create_future()
        self.confirmations[number] = confirm
        self.message_id_delivery_tag[message_id] = number
        confirm.add_done_callback(lambda _: self.message_id_delivery_tag.pop(message_id, None))
        return confirm

    def end_confirms(self) -> None:
        """Wake whoever waits for a confirm that cannot come any more."""
        for confirm in self.confirmations.values():
            if not confirm.done():
                confirm.set_exception(ChannelInvalidStateError("the channel closed"))


class LibraryChannel(Channel):
    """See `Channel`. The library closes a channel when a call is cancelled: none ever is."""

    def __init__(self, raw: RawChannel) -> None:
        super().__init__()
        self._raw = raw
        raw.closing.add_done_callback(lambda _: raw.end_confirms())
        self._outbox: list[bytes] = []
        self._sending = False

    @property
    def is_closed(self) -> bool:
        return self._raw.is_closed

    def on_close(self, tell: Callable[[str], None]) -> None:
        def told(closing: asyncio.Future[object]) -> None:
            error = None if closing.cancelled() else closing.exception()
            tell(describe(error))

        self._raw.closing.add_done_callback(told)

    def on_cancel(self, tell: Callable[[str], None]) -> None:
        self._raw.on_consumer_cancel_callbacks.add(lambda frame: tell(str(frame.consumer_tag)))

    def ack(self, tag: int, *, before: bool = False) -> None:
        self._send(frames.ack(self._raw.number, tag, before=before))

    def release(self, tag: int) -> None:
        self._send(frames.give_back(self._raw.number, tag))

    async def flush(self) -> None:
        while self._sending and not self.is_closed:  # noqa: ASYNC110 - over within some turns
            await asyncio.sleep(0)
        await super().flush()

    async def publish(self, out: Outgoing, message_id: str) -> None:
        id_ = out.message_id or message_id
        packed = frames.message(self._raw.number, out, id_, self._raw.max_content_size)
        confirm = self._raw.confirm_next(id_)
        self._send(packed)
        with translated():
            await confirm

    async def close(self) -> None:
        await asyncio.shield(self._raw.close())

    async def _ask(self, asked: Frame, answer: type[Answer]) -> Answer:
        with translated():
            answered: object = await asyncio.shield(self._raw.rpc(asked))
        if not isinstance(answered, answer):
            raise LostError(f"{asked.name} was answered by {answered!r}")
        return answered

    def _hand_to(self, tag: str, receive: Receiver | None, *, settled: bool = False) -> None:  # noqa: ARG002 - the library does not ask
        if receive is None:
            self._raw.receivers.pop(tag, None)
        else:
            self._raw.receivers[tag] = lambda message: receive(_arrival(self, message))

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
        persistent=properties.delivery_mode == PERSISTENT,
        expiration=bool(properties.expiration),
    )
