"""One connection of the lean client: frames in and out, one write for each turn of the loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

import pamqp.frame
from pamqp.base import Frame
from pamqp.commands import Connection
from pamqp.header import ProtocolHeader
from pamqp.heartbeat import Heartbeat

from webhook_runner.broker.amqp.blanking import UNREADABLE
from webhook_runner.broker.amqp.handshake import Account, Agreement, Handshake, RefusedError
from webhook_runner.broker.amqp.pulse import Pulse
from webhook_runner.broker.amqp.wire import (
    BODY,
    HEADER,
    HEARTBEAT,
    KINDS,
    METHOD,
    FrameError,
    FrameReader,
)

CLOSE_TIMEOUT = 3.0
_READ_UNTIL_AGREED = 1_048_576
_FRAME_ERROR = 501
_HEARTBEAT = Heartbeat().marshal()


class Listener(Protocol):
    """What a channel is to its connection."""

    def take_method(self, payload: bytes) -> None: ...
    def take_header(self, payload: bytes) -> None: ...
    def take_body(self, payload: bytes) -> None: ...
    def pack(self) -> bytes: ...
    def lose(self, why: str) -> None: ...


class LeanConnection(asyncio.Protocol):
    """Open from ``opened`` until ``ended`` says why it is not.

    Frames wait for the end of the turn, and longer while the socket is full: what may be under way
    is bounded by those who send.
    """

    def __init__(
        self, account: Account, on_blocked: Callable[[str], None], on_unblocked: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[Agreement] = self._loop.create_future()
        self.channels: dict[int, Listener] = {}
        self.ended = ""
        self._tells: list[Callable[[str], None]] = []
        self._on_blocked, self._on_unblocked = on_blocked, on_unblocked
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._handshake: Handshake | None = Handshake(account, self.send_own)
        self._reader = FrameReader(self._take, _READ_UNTIL_AGREED)
        self._pulse = Pulse(account.heartbeat, self._beat, self._give_up)
        self._silence = f"no word from the broker for {2 * account.heartbeat} s"
        self._outbox: list[bytes] = []
        self._settling: list[Listener] = []
        self._is_due = False
        self._is_full = False

    def on_end(self, tell: Callable[[str], None]) -> None:
        if self.ended:
            self._loop.call_soon(tell, self.ended)
        else:
            self._tells.append(tell)

    def write(self, packed: bytes) -> None:
        """Send frames at the end of this turn."""
        self._outbox.append(packed)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def settle(self, channel: Listener) -> None:
        """Ask a channel at the end of this turn for what it has to settle."""
        self._settling.append(channel)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def send_own(self, frame: Frame) -> None:
        """Send a method that concerns the connection itself."""
        self.write(pamqp.frame.marshal(frame, 0))

    async def close(self) -> None:
        """Close, waiting a few seconds at most for what the broker has to say to that."""
        if not self.ended and self.opened.done():
            self._closing = True
            self.send_own(Connection.Close(200, "goodbye", 0, 0))
        elif not self.ended:
            self.end("closed")
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.shield(self._gone)
        self.abort()

    def abort(self) -> None:
        """End at once; what was not sent is not sent any more."""
        self.end("closed")
        if self._transport is not None:
            self._transport.abort()

    def end(self, why: str, error: Exception | None = None) -> None:
        """Tell everybody that it is over; the socket is closed when what was written is sent."""
        if self.ended:
            return
        self._flush()
        self.ended = why
        self._pulse.end()
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError(why))
        if self._transport is not None:
            self._transport.close()
        for tell in self._tells:
            tell(why)
        channels, self.channels = self.channels, {}
        for channel in channels.values():
            channel.lose(why)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(ProtocolHeader().marshal())

    def data_received(self, data: bytes) -> None:
        self._pulse.silent = 0
        try:
            self._reader.feed(data)
        except FrameError as error:
            self._refuse(error)
        except RefusedError as error:
            self.end(str(error), error)
        except UNREADABLE as error:
            self._refuse(FrameError(f"no AMQP: {error}"))

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        why = "the broker closed it without a word" if exc is None else str(exc) or repr(exc)
        if self._handshake is not None and self._handshake.is_judged:
            why = f"the broker refused user or password, it seems: {why}"
        self.end("closed" if self._closing else why)
        self._transport = None
        if not self._gone.done():
            self._gone.set_result(None)

    # What the reader calls.

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        channel = self.channels.get(number)
        if channel is None:
            self._take_own(kind, number, payload)
        elif kind == BODY:
            channel.take_body(payload)
        elif kind == HEADER:
            channel.take_header(payload)
        elif kind == METHOD:
            channel.take_method(payload)
        elif kind != HEARTBEAT:
            raise FrameError(f"no AMQP: a frame of the kind {kind}")

    def _take_own(self, kind: int, number: int, payload: bytes) -> None:
        """Take what concerns the connection; what comes for a closed channel comes too late."""
        if kind not in KINDS:
            raise FrameError(f"no AMQP: a frame of the kind {kind}")
        if self.ended or number or kind != METHOD:
            return
        frame = method_of(payload)
        if self._handshake is not None:
            self._handshake.take(frame)
            self._agree(self._handshake.agreement)
            return
        match frame:
            case Connection.Close():
                self.send_own(Connection.CloseOk())
                self.end(f"{frame.reply_code} {frame.reply_text}")
            case Connection.CloseOk():
                self.end("closed")
            case Connection.Blocked():
                self._on_blocked(str(frame.reason))
            case Connection.Unblocked():
                self._on_unblocked()
            case _:
                raise FrameError(f"the broker said {frame.name} of no channel")

    def _agree(self, agreement: Agreement | None) -> None:
        if agreement is not None and not self.opened.done():
            self._handshake = None
            self._reader.allow(agreement.largest_frame)
            self._pulse.begin()
            self.opened.set_result(agreement)

    def _refuse(self, error: FrameError) -> None:
        if self.ended:
            return
        self.send_own(Connection.Close(_FRAME_ERROR, str(error)[:200], 0, 0))
        self.end(str(error), error)
        self.abort()

    def _flush(self) -> None:
        self._is_due = False
        transport = self._transport
        if self._is_full or self.ended or transport is None:
            return
        outbox = self._outbox
        if self._settling:
            outbox += [channel.pack() for channel in self._settling]
            self._settling.clear()
        if outbox:
            transport.write(b"".join(outbox))
            outbox.clear()
            self._pulse.unsaid = 0

    def _beat(self) -> None:
        self.write(_HEARTBEAT)

    def _give_up(self) -> None:
        self.end(self._silence)
        self.abort()


def method_of(payload: bytes) -> Frame:
    """Read a method that is not worth reading by hand.

    Raises:
        FrameError: it is none.

    """
    packed = b"".join((b"\x01\0\0", len(payload).to_bytes(4), payload, b"\xce"))
    try:
        _, _, frame = pamqp.frame.unmarshal(packed)
    except UNREADABLE as error:
        raise FrameError(f"no AMQP: {error}") from error
    return cast("Frame", frame)
