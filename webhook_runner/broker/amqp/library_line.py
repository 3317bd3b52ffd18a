"""A connection of the AMQP library: the reference for the lean one, and what `doctor` asks by."""

import asyncio
import logging
from collections.abc import Callable

import aiormq
from aiormq.abc import AbstractChannel
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import AMQPError, ProbableAuthenticationError
from pamqp.commands import Connection as Frames
from pamqp.constants import FRAME_HEADER, FRAME_HEADER_SIZE, FRAME_METHOD
from yarl import URL

from webhook_runner.broker.amqp.blanking import legible
from webhook_runner.broker.amqp.channel import Channel
from webhook_runner.broker.amqp.library_channel import LibraryChannel, RawChannel
from webhook_runner.broker.amqp.library_faults import describe, translated
from webhook_runner.broker.amqp.line import CONNECT_TIMEOUT, Address, Line
from webhook_runner.errors import BrokerUnavailableError

CLOSE_TIMEOUT = 5.0
_DELIVER = bytes((0, 60, 0, 60))
_BEYOND_ASCII = 0x80


class Reader:
    """Hands on what the broker sends, with undecodable properties of messages blanked out.

    What came by one of ``trusted`` exchanges was packed by us.
    """

    def __init__(self, inner: asyncio.StreamReader, trusted: frozenset[bytes]) -> None:
        self._inner = inner
        self._trusted = trusted
        self._doubted: set[bytes] = set()
        self._head = b""

    def at_eof(self) -> bool:
        return self._inner.at_eof()

    async def read(self, size: int = -1) -> bytes:
        return await self._inner.read(size)

    async def readexactly(self, size: int) -> bytes:
        found = await self._inner.readexactly(size)
        if len(self._head) < FRAME_HEADER_SIZE:
            self._head += found
            return found
        head, self._head = self._head, b""
        kind, channel = head[0], head[1:3]
        if kind == FRAME_METHOD:
            if found[:4] == _DELIVER and _exchange(found) not in self._trusted:
                self._doubted.add(channel)
                return _with_a_text_for_key(found)
        elif kind == FRAME_HEADER and channel in self._doubted:
            self._doubted.discard(channel)
            return legible(found[:-1]) + found[-1:]
        return found


def _exchange(deliver: bytes) -> bytes:
    """Read the exchange out of a Basic.Deliver: it follows the tag, its number and a flag."""
    start = 4 + 1 + deliver[4] + 9
    return deliver[start + 1 : start + 1 + deliver[start]]


def _with_a_text_for_key(deliver: bytes) -> bytes:
    """Return a Basic.Deliver of the same length, whose routing key can be decoded."""
    exchange_at = 14 + deliver[4]
    key_at = exchange_at + 2 + deliver[exchange_at]
    key = deliver[key_at:-1]
    try:
        key.decode()
    except UnicodeDecodeError:
        key = bytes(byte if byte < _BEYOND_ASCII else ord("?") for byte in key)
    return deliver[:key_at] + key + deliver[-1:]


class _Transport(TransportFactory):
    def __init__(self, trusted: frozenset[str], *, tls: bool) -> None:
        self._trusted = frozenset(name.encode() for name in trusted)
        self._inner = TLSTransportFactory() if tls else TCPTransportFactory()

    async def create(
        self, url: URL, **kwargs: object
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._inner.create(url, **kwargs)
        return Reader(reader, self._trusted), writer  # type: ignore[return-value]  # all that aiormq asks of it


class _Connection(aiormq.Connection):
    """The library's connection; it keeps being blocked to itself, so these two are overridden."""

    on_blocked: Callable[[str], None]
    on_unblocked: Callable[[], None]

    async def raw_channel(self, *, confirms: bool) -> RawChannel:
        if self.is_closed:
            raise RuntimeError("the connection is closed")
        number = max(self.channels, default=0) + 1
        self.channels[number] = channel = RawChannel(self, number, confirms=confirms)
        await channel.open()
        return channel

    async def _Connection__handle_connection_blocked(  # noqa: N802 - the library's private name
        self, frame: Frames.Blocked
    ) -> None:
        self.on_blocked(str(frame.reason))

    async def _Connection__handle_connection_unblocked(self, _: Frames.Unblocked) -> None:  # noqa: N802
        self.on_unblocked()


def hush_library() -> None:
    """Keep it from logging: all it says reaches us as exceptions, and is told once per loss."""
    for name in ("aiormq", "aio_pika"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


async def _open(raw: _Connection) -> None:
    """Connect in a task of its own: the library may answer a cancellation with its own error."""
    connecting = asyncio.ensure_future(raw.connect())
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await asyncio.shield(connecting)
    except BaseException:
        connecting.cancel()
        ended = asyncio.gather(connecting, raw.close(), return_exceptions=True)
        await asyncio.wait((ended,), timeout=CLOSE_TIMEOUT)
        raise


class LibraryLine(Line):
    """See `Line`."""

    def __init__(self, raw: _Connection) -> None:
        self._raw = raw

    @classmethod
    async def connect(
        cls,
        where: Address,
        trusted: frozenset[str],
        on_blocked: Callable[[str], None],
        on_unblocked: Callable[[], None],
    ) -> "LibraryLine":
        """See `Connect`."""
        hush_library()
        raw = _Connection(
            where.url,
            context=where.tls,
            transport_factory=_Transport(trusted, tls=where.tls is not None),
        )
        raw.on_blocked, raw.on_unblocked = on_blocked, on_unblocked
        try:
            await _open(raw)
        except TimeoutError as error:
            raise BrokerUnavailableError(
                f"{where.text}: no answer within {CONNECT_TIMEOUT:g} s"
            ) from error
        except ProbableAuthenticationError as error:
            raise BrokerUnavailableError(
                f"{where.text}: the broker refused user or password: {describe(error)}"
            ) from error
        except (AMQPError, OSError, RuntimeError) as error:
            raise BrokerUnavailableError(f"{where.text}: {describe(error)}") from error
        return cls(raw)

    @property
    def version(self) -> str:
        return str(self._raw.server_properties.get("version", "?"))

    def on_close(self, tell: Callable[[str], None]) -> None:
        def told(closing: asyncio.Future[object]) -> None:
            tell(describe(None if closing.cancelled() else closing.exception()))

        self._raw.closing.add_done_callback(told)

    async def channel(self, *, confirms: bool = False) -> Channel:
        with translated():
            return LibraryChannel(await asyncio.shield(self._raw.raw_channel(confirms=confirms)))

    async def bare_channel(self) -> AbstractChannel:
        """Open a channel of the library's own, for what the daemon never asks. Raises LostError."""
        with translated():
            return await self._raw.channel(publisher_confirms=False)

    async def close(self) -> None:
        await asyncio.shield(self._raw.close())
