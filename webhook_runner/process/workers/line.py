"""One end of the socket between parent and worker: messages both ways, with back-pressure."""

import asyncio
import socket
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import msgspec

from webhook_runner.process.workers.wire import FromWorker, Reader, ToWorker, frame

T = TypeVar("T")
HIGH_WATER = 1 << 20


class Line(asyncio.Protocol, Generic[T]):
    """Hands on each message that comes, and sends others.

    Attributes:
        is_full: what was sent is not read; ``on_room`` is called when it is again.
        lost: set when the other end is gone.

    """

    def __init__(
        self, decoder: "msgspec.msgpack.Decoder[T]", on_message: Callable[[T], None]
    ) -> None:
        self._reader = Reader(decoder)
        self._on_message = on_message
        self._transport: asyncio.Transport | None = None
        self.on_room: Callable[[], None] = _nothing
        self.is_full = False
        self.lost = asyncio.Event()

    async def open(self, end: socket.socket) -> None:
        """Begin. ``end`` is closed with the line."""
        end.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=end)

    def send(self, message: FromWorker | ToWorker) -> None:
        """Send soon; to nobody when the other end is gone."""
        if self._transport is not None and not self.lost.is_set():
            self._transport.write(frame(message))

    def hold(self) -> None:
        """Read no more, until ``go_on``."""
        if self._transport is not None and not self.lost.is_set():
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._transport is not None and not self.lost.is_set():
            self._transport.resume_reading()

    async def close(self) -> None:
        """Send what is left, and end; a reader that does not read is not waited for here."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no known class
        self._transport.set_write_buffer_limits(HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._on_message(message)
        except (ValueError, msgspec.MsgspecError):
            # Whoever is there is none of ours, or torn: it is treated as gone.
            if self._transport is not None:
                self._transport.abort()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self.on_room()

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost.set()


def _nothing() -> None:
    return
