"""The lean client: HTTP/1.1 on the event loop's own transports, with as little as it takes."""

import asyncio
import socket
import ssl

from webhook_runner.dispatch.connector import Connector, late_handshake, tls_failure
from webhook_runner.dispatch.exchange import Exchange
from webhook_runner.dispatch.fields import fields_of
from webhook_runner.dispatch.lanes import Lanes
from webhook_runner.dispatch.lean_connection import LeanConnection
from webhook_runner.dispatch.lean_pool import LeanPool
from webhook_runner.dispatch.target import Origin, Target
from webhook_runner.task.request import Request


class LeanClient:
    """HTTP/1.1 straight to endpoints; it knows no proxies."""

    def __init__(self, connector: Connector, context: ssl.SSLContext) -> None:
        self._connector = connector
        self._ssl = context
        self._lanes = Lanes(LeanPool, LeanPool.close)

    def configure(self, queue: str, concurrency: int) -> None:
        self._lanes.configure(queue, concurrency)

    async def exchange(
        self, request: Request, target: Target, queue: str, exchange: Exchange
    ) -> None:
        """Send one request and keep what comes back.

        A connection is reused only when the socket is silent at the moment of writing; what
        breaks after that may have been received and is never sent again from here.

        Raises:
            AttemptError, RefusedError: what the network or the guard did.

        """
        head = _head(request, target)
        lane = self._lanes.enter(queue)
        slots = lane.pool.slots
        try:
            await slots.acquire()
            try:
                await self._by(lane.pool, head, request, target.origin, exchange)
            finally:
                slots.release()
        finally:
            await self._lanes.leave(lane)

    async def close(self) -> None:
        await self._lanes.close()

    async def _by(
        self, pool: LeanPool, head: bytes, request: Request, origin: Origin, exchange: Exchange
    ) -> None:
        connection = pool.take(origin.name)
        try:
            if connection is None:
                connection = await self._open(origin, request.connect_timeout)
            await connection.exchange(head, request.body, exchange)
        finally:
            pool.give_back(origin.name, connection)

    async def _open(self, origin: Origin, seconds: float) -> LeanConnection:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds

        async def open_one(address: str, share: float) -> socket.socket:
            return await _connected(loop, address, origin.port, share)

        sock = await self._connector.connect(origin.host, origin.port, ends_at, open_one)
        if origin.scheme == "http":
            return (await loop.create_connection(LeanConnection, sock=sock))[1]
        try:
            async with asyncio.timeout_at(ends_at):
                _, connection = await loop.create_connection(
                    LeanConnection,
                    sock=sock,
                    ssl=self._ssl,
                    server_hostname=origin.server_name,
                    ssl_handshake_timeout=seconds + 1,  # ours comes first, and is told apart
                )
        except TimeoutError:
            raise late_handshake(origin.server_name) from None
        except OSError as error:
            raise tls_failure(error, origin.server_name) from error
        return connection


async def _connected(
    loop: asyncio.AbstractEventLoop, address: str, port: int, seconds: float
) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(seconds):
            await loop.sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _head(request: Request, target: Target) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in fields_of(request, target.origin)]
    return f"{request.method} {target.path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()
