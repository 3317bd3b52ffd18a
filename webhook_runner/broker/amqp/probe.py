"""What a RabbitMQ server is and has, asked so that nothing there changes: for `doctor`."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar
from urllib.parse import urlsplit

from aiormq.abc import AbstractChannel
from pamqp.commands import Basic
from pamqp.common import FieldValue

from webhook_runner.broker.amqp.declare import difference
from webhook_runner.broker.amqp.faults import (
    DiffersError,
    ForbiddenError,
    LostError,
    MissingError,
)
from webhook_runner.broker.amqp.library_faults import translated
from webhook_runner.broker.amqp.library_line import LibraryLine
from webhook_runner.broker.amqp.line import Address, address
from webhook_runner.broker.amqp.topology import Queue
from webhook_runner.errors import BrokerUnavailableError
from webhook_runner.settings import BrokerSettings

T = TypeVar("T")
CLOSE_TIMEOUT = 5.0
_AMQPS_PORT = 5671
_NONSENSE = "no number"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a queue stands.

    Attributes:
        ready: messages nobody has in hand.
        consumers: how many take from it.
        differs: what is not as we would declare it, or "".
        compared: whether we were allowed to ask.

    """

    ready: int
    consumers: int
    differs: str = ""
    compared: bool = True


class Probe:
    """One connection to one server. Every question raises `LostError` when it is gone.

    A right is tried by asking for what the broker refuses either way: it looks at the right
    first, so its refusal tells. The arguments of a queue are compared by declaring it as it
    should be, which the broker answers with what differs; only a queue that was just seen there
    is asked about.
    """

    def __init__(self, line: LibraryLine, where: Address) -> None:
        self._line = line
        self._where = where
        self._channel: AbstractChannel | None = None

    @classmethod
    async def open(cls, server: str, settings: BrokerSettings) -> Self:
        """Connect as the daemon does.

        Raises:
            BrokerUnavailableError: with what the broker minds.

        """
        where = address(server, settings, "webhook-runner doctor")
        line = await LibraryLine.connect(where, frozenset(), lambda _: None, lambda: None)
        return cls(line, where)

    @property
    def place(self) -> str:
        """Scheme, host and virtual host, without a password."""
        return self._where.text

    @property
    def version(self) -> str:
        return self._line.version

    @property
    def is_encrypted(self) -> bool:
        return self._where.tls is not None

    async def certificate_ends(self) -> float:
        """Return when the certificate of an amqps server ends, in epoch seconds.

        Raises:
            BrokerUnavailableError: it could not be looked at.

        """
        parts = urlsplit(self._where.url)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                _, writer = await asyncio.open_connection(
                    parts.hostname, parts.port or _AMQPS_PORT, ssl=self._where.tls
                )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise BrokerUnavailableError(f"{self.place}: {error}") from error
        certificate = writer.get_extra_info("peercert")
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await writer.wait_closed()
        return float(ssl.cert_time_to_seconds(certificate["notAfter"]))

    async def has_exchange(self, name: str) -> bool:
        try:
            await self._ask(lambda channel: channel.exchange_declare(name, passive=True))
        except MissingError:
            return False
        return True

    async def count(self, queue: str) -> int | None:
        """Return how many messages are ready in a queue; None when it is not there."""
        try:
            seen = await self._ask(lambda channel: channel.queue_declare(queue, passive=True))
        except MissingError:
            return None
        return seen.message_count or 0

    async def standing(self, queue: Queue) -> Standing | None:
        """Look at a queue; None when it is not there."""
        try:
            seen = await self._ask(lambda channel: channel.queue_declare(queue.name, passive=True))
        except MissingError:
            return None
        ready, consumers = seen.message_count or 0, seen.consumer_count or 0
        try:
            await self._ask(
                lambda channel: channel.queue_declare(
                    queue.name, durable=True, arguments=dict(queue.arguments)
                )
            )
        except DiffersError as error:
            return Standing(ready, consumers, difference(str(error)))
        except ForbiddenError:
            return Standing(ready, consumers, compared=False)
        return Standing(ready, consumers)

    async def may_configure(self, queue: str) -> bool:
        """Whether a queue of that name might be declared."""
        nonsense: dict[str, FieldValue] = {"x-message-ttl": _NONSENSE}
        return await self._may(
            lambda channel: channel.queue_declare(queue, durable=True, arguments=nonsense)
        )

    async def may_read(self, queue: str) -> bool:
        """Whether a queue might be consumed."""

        async def consume(channel: AbstractChannel) -> object:
            await channel.basic_qos(prefetch_count=1)
            return await channel.basic_consume(
                queue, _never, arguments={"x-priority": _NONSENSE}, consumer_tag="doctor"
            )

        return await self._may(consume)

    async def may_write(self, exchange: str) -> bool:
        """Whether something might be published to an exchange."""
        properties = Basic.Properties(expiration=_NONSENSE, user_id=f"{exchange}.nobody")

        async def publish(channel: AbstractChannel) -> object:
            await channel.basic_publish(b"", exchange=exchange, properties=properties)
            async with asyncio.timeout(CLOSE_TIMEOUT):
                return await asyncio.shield(channel.closing)

        return await self._may(publish)

    async def close(self) -> None:
        closing = asyncio.ensure_future(self._line.close())
        await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT)

    async def _may(self, call: Callable[[AbstractChannel], Awaitable[object]]) -> bool:
        try:
            await self._ask(call)
        except ForbiddenError:
            return False
        except (DiffersError, MissingError):
            return True
        # It was taken for good, which no broker that we know does: the right is there.
        await self._end_channel()
        return True

    async def _ask(self, call: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._line.bare_channel()
        try:
            with translated():
                return await call(self._channel)
        except TimeoutError as error:
            raise LostError(f"no answer within {CLOSE_TIMEOUT:g} s") from error

    async def _end_channel(self) -> None:
        if self._channel is not None:
            await self._channel.close()


async def _never(_: object) -> None:
    """Stand in for a consumer that does not come to be."""
