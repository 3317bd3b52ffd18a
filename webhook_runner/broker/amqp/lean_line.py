"""A connection of our own making: opened by a handshake, with as many channels as are asked for."""

import asyncio
import ssl
from collections.abc import Callable
from itertools import count

from webhook_runner.broker.amqp.faults import LostError
from webhook_runner.broker.amqp.handshake import Account, RefusedError
from webhook_runner.broker.amqp.lean_channel import LeanChannel
from webhook_runner.broker.amqp.lean_connection import CLOSE_TIMEOUT, LeanConnection
from webhook_runner.broker.amqp.line import CONNECT_TIMEOUT, Address, Line
from webhook_runner.broker.amqp.wire import FrameError
from webhook_runner.errors import BrokerUnavailableError


class LeanLine(Line):
    """See `Line`."""

    def __init__(self, connection: LeanConnection) -> None:
        self._connection = connection
        self._agreement = connection.opened.result()

    @classmethod
    async def connect(
        cls,
        where: Address,
        trusted: frozenset[str],  # noqa: ARG003 - reads everybody's properties alike
        on_blocked: Callable[[str], None],
        on_unblocked: Callable[[], None],
    ) -> "LeanLine":
        """See `Connect`."""
        account = Account.of(where)
        connection = LeanConnection(account, on_blocked, on_unblocked)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await _open(connection, account, where.tls)
        except TimeoutError as error:
            raise BrokerUnavailableError(
                f"{where.text}: no answer within {CONNECT_TIMEOUT:g} s"
            ) from error
        except (OSError, ssl.SSLError, RefusedError, FrameError) as error:
            raise BrokerUnavailableError(f"{where.text}: {error}") from error
        return cls(connection)

    @property
    def version(self) -> str:
        return self._agreement.version

    def on_close(self, tell: Callable[[str], None]) -> None:
        self._connection.on_end(tell)

    async def channel(self, *, confirms: bool = False) -> LeanChannel:
        connection = self._connection
        if connection.ended:
            raise LostError(f"the connection is closed: {connection.ended}")
        number = next(number for number in count(1) if number not in connection.channels)
        if number > self._agreement.most_channels:
            raise LostError(f"the broker allows {self._agreement.most_channels} channels")
        connection.channels[number] = channel = LeanChannel(connection, number)
        await channel.open(confirms=confirms)
        return channel

    async def close(self) -> None:
        await asyncio.shield(self._connection.close())


async def _open(connection: LeanConnection, account: Account, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(
            lambda: connection,
            account.host,
            account.port,
            ssl=tls,
            ssl_shutdown_timeout=CLOSE_TIMEOUT if tls else None,
        )
        await asyncio.shield(connection.opened)
    except BaseException:
        connection.abort()
        if connection.opened.done() and not connection.opened.cancelled():
            connection.opened.exception()
        raise
