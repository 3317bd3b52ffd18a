"""A channel of the lean client: deliveries and confirms read by hand, the rest by the codec."""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial

import pamqp.frame
from pamqp.base import Frame
from pamqp.commands import Basic, Confirm
from pamqp.commands import Channel as Channels

from webhook_runner.broker.amqp import frames
from webhook_runner.broker.amqp.channel import Answer, Arrival, Channel, Outgoing, Receiver
from webhook_runner.broker.amqp.confirms import Confirms
from webhook_runner.broker.amqp.content import NOTHING_SAID, read_content
from webhook_runner.broker.amqp.faults import LOST_AS, LostError
from webhook_runner.broker.amqp.lean_connection import LeanConnection, method_of
from webhook_runner.broker.amqp.settling import Settling
from webhook_runner.broker.amqp.wire import FRAMING, FrameError

_DELIVER = bytes((0, 60, 0, 60))
_ACK = bytes((0, 60, 0, 80))
_NUMBER_AND_FLAG = struct.Struct(">QB").unpack_from
_METHOD_SIZE = 4
_FLAG = 1
_CODE_OF_OURS = 200

Arriving = tuple[Receiver | None, int, bool, str, str]


class LeanChannel(Channel):
    """See `Channel`."""

    def __init__(self, connection: LeanConnection, number: int) -> None:
        super().__init__()
        agreement = connection.opened.result()
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._number = number
        self._largest_body = agreement.largest_frame - FRAMING
        self._answers_cancels = agreement.has("accept_consumer_cancel_ok")
        self._why = ""
        self._on_close: list[Callable[[str], None]] = []
        self._on_cancel: list[Callable[[str], None]] = []
        self._asked: deque[tuple[Frame, asyncio.Future[Frame]]] = deque()
        self._consumers: dict[bytes, tuple[Receiver, bool]] = {}
        self._confirms = Confirms()
        self._settling = Settling(number)
        self._will_settle = False
        # What has come of a message so far.
        self._arriving: Arriving | None = None
        self._properties = NOTHING_SAID
        self._parts: list[bytes] = []
        self._missing = 0

    async def open(self, *, confirms: bool) -> None:
        """Open it at the broker. Raises LostError."""
        try:
            await self._ask(Channels.Open(), Channels.OpenOk)
            if confirms:
                await self._ask(Confirm.Select(), Confirm.SelectOk)
        except asyncio.CancelledError:
            if not self._why:
                self._begin_to_close()
            raise

    @property
    def is_closed(self) -> bool:
        return bool(self._why)

    def on_close(self, tell: Callable[[str], None]) -> None:
        if self._why:
            self._loop.call_soon(tell, self._why)
        else:
            self._on_close.append(tell)

    def on_cancel(self, tell: Callable[[str], None]) -> None:
        self._on_cancel.append(tell)

    def ack(self, tag: int, *, before: bool = False) -> None:
        self._settling.ack(tag, before=before)
        self._settle()

    def release(self, tag: int) -> None:
        self._settling.release(tag)
        self._settle()

    async def publish(self, out: Outgoing, message_id: str) -> None:
        self._be_open()
        id_ = out.message_id or message_id
        packed = frames.message(self._number, out, id_, self._largest_body)
        confirm = self._confirms.next(id_)
        self._connection.write(packed)
        await confirm

    async def close(self) -> None:
        if not self._why:
            await self._begin_to_close()

    def _begin_to_close(self) -> asyncio.Future[None]:
        self._say(Channels.Close(_CODE_OF_OURS, "", 0, 0))
        closing = _Closing(self._connection, self._number)
        self._connection.channels[self._number] = closing
        self.lose("closed")
        return closing.over

    def lose(self, why: str, code: int = 0) -> None:
        """Tell everybody that it is over."""
        if self._why:
            return
        self._why = why
        self._settling = Settling(self._number)
        lost_as = LOST_AS.get(code, LostError)
        while self._asked:
            _, answer = self._asked.popleft()
            if not answer.done():
                answer.set_exception(lost_as(why))
            lost_as = LostError
        self._confirms.lose(why)
        for tell in self._on_close:
            tell(why)

    def pack(self) -> bytes:
        """Return what settles deliveries, for the write at the end of this turn."""
        self._will_settle = False
        return self._settling.pack()

    async def _ask(self, asked: Frame, answer: type[Answer]) -> Answer:
        self._be_open()
        answered: asyncio.Future[Frame] = self._loop.create_future()
        self._asked.append((asked, answered))
        if len(self._asked) == 1:
            self._say(asked)
        found = await answered
        if not isinstance(found, answer):
            raise LostError(f"{asked.name} was answered by {found.name}")
        return found

    def _hand_to(self, tag: str, receive: Receiver | None, *, settled: bool = False) -> None:
        if receive is None:
            self._consumers.pop(tag.encode(), None)
        else:
            self._consumers[tag.encode()] = (receive, settled)

    def _be_open(self) -> None:
        if self._why:
            raise LostError(f"the channel is closed: {self._why}")

    def _settle(self) -> None:
        self._be_open()
        if not self._will_settle:
            self._will_settle = True
            self._connection.settle(self)

    def _say(self, frame: Frame) -> None:
        """Send a method, after all that was settled before it."""
        packed = pamqp.frame.marshal(frame, self._number)
        self._connection.write(self._settling.pack() + packed)

    # What the connection calls.

    def take_method(self, payload: bytes) -> None:
        index = payload[:_METHOD_SIZE]
        if index == _DELIVER:
            self._take_delivery(payload)
        elif index == _ACK:
            number, flag = _NUMBER_AND_FLAG(payload, _METHOD_SIZE)
            self._confirms.took(number, before=flag & _FLAG != 0)
        else:
            self._take_seldom(method_of(payload))

    def take_header(self, payload: bytes) -> None:
        if self._arriving is None or self._missing:
            raise FrameError("a content header came without its method")
        self._missing, self._properties = read_content(payload)
        if not self._missing:
            self._complete(b"")

    def take_body(self, payload: bytes) -> None:
        missing = self._missing - len(payload)
        if missing < 0 or not self._missing:
            raise FrameError("a body came that is longer than its header said")
        self._missing = missing
        if missing:
            self._parts.append(payload)
        elif self._parts:
            whole = b"".join((*self._parts, payload))
            self._parts.clear()
            self._complete(whole)
        else:
            self._complete(payload)

    def _take_delivery(self, payload: bytes) -> None:
        at = _METHOD_SIZE + 1 + payload[_METHOD_SIZE]
        tag, flag = _NUMBER_AND_FLAG(payload, at)
        receive, settled = self._consumers.get(payload[_METHOD_SIZE + 1 : at], (None, False))
        if not settled:
            self._settling.arrived(tag)
        exchange, key = _place(payload[at + 9 :])
        self._expect((receive, tag, flag & _FLAG != 0, exchange, key))

    def _expect(self, arriving: Arriving) -> None:
        if self._arriving is not None:
            raise FrameError("a message came before the end of another")
        self._arriving = arriving

    def _complete(self, body: bytes) -> None:
        if self._arriving is None:
            return
        receive, tag, redelivered, exchange, key = self._arriving
        self._arriving = None
        if receive is None:
            return
        arrival = Arrival(self, tag, redelivered, exchange, key, body, *self._properties)
        try:
            receive(arrival)
        except Exception as error:  # noqa: BLE001 - ours, and not the broker's: told as the reason
            self._connection.end(f"a receiver failed: {error!r}")

    def _take_seldom(self, frame: Frame) -> None:
        match frame:
            case Basic.Nack():
                self._confirms.refused(frame.delivery_tag or 0, before=bool(frame.multiple))
            case Basic.Return():
                why = f"{frame.reply_code} {frame.reply_text}"
                self._expect((partial(self._returned, why), 0, False, "", ""))
            case Basic.Cancel():
                self._cancelled(frame.consumer_tag or "")
            case Channels.Close():
                self._say(Channels.CloseOk())
                self._connection.channels.pop(self._number, None)
                self.lose(f"{frame.reply_code} {frame.reply_text}", frame.reply_code or 0)
            case _:
                self._answer(frame)

    def _answer(self, frame: Frame) -> None:
        if not self._asked or frame.name not in self._asked[0][0].valid_responses:
            raise FrameError(f"the broker said {frame.name}, which nobody had asked for")
        _, answer = self._asked.popleft()
        if not answer.done():
            answer.set_result(frame)
        if self._asked:
            self._say(self._asked[0][0])

    def _returned(self, why: str, arrival: Arrival) -> None:
        self._confirms.returned(arrival.message_id, why)

    def _cancelled(self, tag: str) -> None:
        self._consumers.pop(tag.encode(), None)
        if self._answers_cancels:
            self._say(Basic.CancelOk(tag))
        for tell in self._on_cancel:
            tell(tag)


class _Closing:
    """Keeps the number of a channel until the broker has closed it too."""

    def __init__(self, connection: LeanConnection, number: int) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._number = number

    def take_method(self, payload: bytes) -> None:
        match method_of(payload):
            case Channels.Close():
                packed = pamqp.frame.marshal(Channels.CloseOk(), self._number)
                self._connection.write(packed)
            case Channels.CloseOk():
                self._connection.channels.pop(self._number, None)
                self.lose("closed")
            case _:
                """What was on its way."""

    def take_header(self, payload: bytes) -> None:
        """Nobody waits for it any more."""

    take_body = take_header

    def pack(self) -> bytes:
        return b""

    def lose(self, why: str) -> None:  # noqa: ARG002 - there is nobody left to tell
        if not self.over.done():
            self.over.set_result(None)


@lru_cache(maxsize=1024)
def _place(packed: bytes) -> tuple[str, str]:
    """Read exchange and routing key; a publisher's key may be no text at all."""
    end = 1 + packed[0]
    key = packed[end + 1 : end + 1 + packed[end]]
    return packed[1:end].decode("utf-8", "replace"), key.decode("utf-8", "replace")
