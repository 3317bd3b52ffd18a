"""The AMQP library's channel, without what it spends on every message."""

import asyncio
from collections.abc import Callable
from typing import cast

from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.channel import Channel as RawChannel
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.commands import Basic
from pamqp.header import ContentHeader

FRAME_BUFFER = 100


class LeanChannel(RawChannel):
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
