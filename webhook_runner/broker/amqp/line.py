"""One AMQP connection: address, credentials, TLS, and what it tells of being blocked or closed."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import aiormq
import pamqp.frame
from aiormq.abc import AbstractChannel
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import AMQPError, ProbableAuthenticationError
from pamqp.commands import Connection as Frames
from pamqp.constants import FRAME_HEADER, FRAME_HEADER_SIZE, FRAME_METHOD
from pamqp.exceptions import PAMQPException
from yarl import URL

from webhook_runner.broker.amqp.channel import Channel
from webhook_runner.broker.amqp.faults import describe, translated
from webhook_runner.broker.amqp.lean_channel import LeanChannel
from webhook_runner.errors import BrokerUnavailableError
from webhook_runner.settings import BrokerSettings

CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0
_DELIVER = bytes((0, 60, 0, 60))
_CONTENT_FIXED = 12  # class, weight and body size, before the property flags
# AMQP 0-9-1 §4.2.6.1: bit 15 is the content type, and so on down to the cluster id.
_TEXTS = frozenset({15, 14, 10, 9, 8, 7})
_TABLE = 13
_OCTETS = frozenset({12, 11})
_TIME = 6


class Reader:
    """Hands on what the broker sends, with undecodable properties of messages blanked out.

    A publisher's absurd timestamp or a broken string makes the codec fail, which would end the
    connection, whereupon the broker would deliver the same message again, for ever. Of a timestamp
    only itself is lost. What came by one of ``trusted`` exchanges was packed by us.
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
        elif kind == FRAME_HEADER and channel in self._doubted:
            self._doubted.discard(channel)
            return _decodable(head, found)
        return found


def _exchange(deliver: bytes) -> bytes:
    """Read the exchange out of a Basic.Deliver: it follows the tag, its number and a flag."""
    start = 4 + 1 + deliver[4] + 9
    return deliver[start + 1 : start + 1 + deliver[start]]


def _decodable(head: bytes, found: bytes) -> bytes:
    if _is_decodable(head + found):
        return found
    timeless = _timeless(found)
    if _is_decodable(head + timeless):
        return timeless
    fixed = found[:_CONTENT_FIXED]
    return fixed + bytes(len(found) - len(fixed) - 1) + found[-1:]


def _is_decodable(frame: bytes) -> bool:
    try:
        pamqp.frame.unmarshal(frame)
    except (PAMQPException, ValueError, OverflowError, OSError):
        return False
    return True


def _timeless(found: bytes) -> bytes:
    """Return a content header whose timestamp, if it has one, is 0."""
    flags = int.from_bytes(found[_CONTENT_FIXED : _CONTENT_FIXED + 2])
    at = _CONTENT_FIXED + 2
    for bit in range(15, _TIME, -1):
        if not flags >> bit & 1:
            continue
        if bit in _OCTETS:
            at += 1
        elif bit in _TEXTS:
            at += 1 + found[at]
        elif bit == _TABLE:
            at += 4 + int.from_bytes(found[at : at + 4])
    if not flags >> _TIME & 1:
        return found
    return found[:at] + bytes(8) + found[at + 8 :]


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

    async def lean_channel(self, *, confirms: bool) -> LeanChannel:
        if self.is_closed:
            raise RuntimeError("the connection is closed")
        number = max(self.channels, default=0) + 1
        self.channels[number] = channel = LeanChannel(self, number, confirms=confirms)
        await channel.open()
        return channel

    async def _Connection__handle_connection_blocked(  # noqa: N802 - the library's private name
        self, frame: Frames.Blocked
    ) -> None:
        self.on_blocked(str(frame.reason))

    async def _Connection__handle_connection_unblocked(self, _: Frames.Unblocked) -> None:  # noqa: N802
        self.on_unblocked()


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, ready to connect to. ``text`` holds no password."""

    url: str
    text: str
    tls: ssl.SSLContext | None


def hush_library() -> None:
    """Keep it from logging: all it says reaches us as exceptions, and is told once per loss."""
    for name in ("aiormq", "aio_pika"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def address(server: str, settings: BrokerSettings, name: str) -> Address:
    """Complete the configured url. Raises BrokerUnavailableError when a file is unreadable."""
    parts = urlsplit(server)
    try:
        password = parts.password or ""
        if settings.password_file:
            password = quote(Path(settings.password_file).read_text().strip(), safe="")
        tls = _tls(settings) if parts.scheme == "amqps" else None
    except (OSError, ssl.SSLError) as error:
        raise BrokerUnavailableError(f"cannot read the broker's credentials: {error}") from error
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username or 'guest'}:{password or 'guest'}@"
    query = dict(parse_qsl(parts.query)) | {
        "heartbeat": str(settings.heartbeat),
        "auth": settings.auth,
        "name": name,
    }
    url = urlunsplit((parts.scheme, user + host, parts.path, urlencode(query), ""))
    return Address(url, f"{parts.scheme}://{host}{parts.path}", tls)


def _tls(settings: BrokerSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    return context


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


class Line:
    """An open connection."""

    def __init__(self, raw: _Connection) -> None:
        self._raw = raw

    @classmethod
    async def connect(
        cls,
        where: Address,
        trusted: frozenset[str],
        on_blocked: Callable[[str], None],
        on_unblocked: Callable[[], None],
    ) -> "Line":
        """Connect. Raises BrokerUnavailableError, saying in one line what the broker minds."""
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
        """Call ``tell`` with the reason when the connection ends."""

        def told(closing: asyncio.Future[object]) -> None:
            tell(describe(None if closing.cancelled() else closing.exception()))

        self._raw.closing.add_done_callback(told)

    async def channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel. Raises LostError when the connection is gone."""
        with translated():
            return Channel(await asyncio.shield(self._raw.lean_channel(confirms=confirms)))

    async def bare_channel(self) -> AbstractChannel:
        """Open a channel of the library's own, for what the daemon never asks. Raises LostError."""
        with translated():
            return await self._raw.channel(publisher_confirms=False)

    async def close(self) -> None:
        await asyncio.shield(self._raw.close())
