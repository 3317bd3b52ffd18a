"""What httpcore2 connects, reads and writes through: checked addresses, no stale connection."""

import asyncio
import select
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2

from webhook_runner.dispatch.connector import Connector, late_handshake, tls_failure

_READ_BYTES = 16_384
_STALL_CHECK = 0.05
_LARGE_WRITE = 65_536
# Head and body have narrower bounds of their own; this one is for interim answers without end.
_MOST_FOR_ONE_ANSWER = 262_144
_CONNECT_SECONDS = 10.0


class StaleConnectionError(Exception):
    """The peer closed an idle connection before a byte of the next request was written."""


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections through the connector."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a checked address of ``host`` within ``timeout`` seconds.

        Raises:
            RefusedError: it is not allowed.
            AttemptError: no address, or none that answers.

        """

        async def open_one(address: str, share: float) -> httpcore2.AsyncNetworkStream:
            try:
                return GuardedStream(
                    await self._inner.connect_tcp(
                        address, port, share, local_address, socket_options
                    )
                )
            except httpcore2.ConnectTimeout:
                raise TimeoutError from None
            except httpcore2.ConnectError as error:
                raise ConnectionError from error

        ends_at = asyncio.get_running_loop().time() + (timeout or _CONNECT_SECONDS)
        return await self._connector.connect(host, port, ends_at, open_one)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class GuardedStream(httpcore2.AsyncNetworkStream):
    """A stream that tells a stale connection before writing, and TLS troubles by their names."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream, *, encrypted: bool = False) -> None:
        self._inner = inner
        self._encrypted = encrypted
        self._answered = False
        self._spoilt = False
        self._received = 0
        # Asked for once: the pool looks at every idle connection before every request.
        self._socket: socket.socket = inner.get_extra_info("socket")
        self._poller = select.poll()
        self._poller.register(self._socket.fileno(), select.POLLIN)

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> bytes:
        """Read what there is.

        Raises:
            RemoteProtocolError: it is more than any answer has.

        """
        self._answered = True
        # Small bites, so that a flood of interim responses cannot hold the loop for long.
        data = await self._inner.read(min(max_bytes, _READ_BYTES), timeout)
        self._received += len(data)
        if self._received > _MOST_FOR_ONE_ANSWER:
            raise httpcore2.RemoteProtocolError(f"over {_MOST_FOR_ONE_ANSWER} bytes of one answer")
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> None:
        if self._answered:
            # The first write after an answer is the next request. The pool looked for a closed
            # connection too, but some turns of the loop ago.
            if self._is_readable():
                raise StaleConnectionError
            self._answered, self._received = False, 0
        if len(buffer) <= _LARGE_WRITE or self._encrypted:
            await self._inner.write(buffer, timeout)
        else:
            await self._write_until_answered(buffer, timeout)

    async def _write_until_answered(self, buffer: bytes, limit: float | None) -> None:
        """Write much, but stop when the peer answers without reading on.

        Not over TLS, where session tickets make the socket readable without an answer.
        """
        writing = asyncio.ensure_future(self._inner.write(buffer, limit))
        try:
            while not writing.done():
                await asyncio.wait((writing,), timeout=_STALL_CHECK)
                if not writing.done() and self._is_readable():
                    raise httpcore2.WriteError("answered before the whole request was read")
            writing.result()
        finally:
            if not writing.done():
                writing.cancel()
                await asyncio.wait((writing,))

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> httpcore2.AsyncNetworkStream:
        """Shake hands.

        Raises:
            RefusedError: rule ``certificate``, with the reason.
            AttemptError: no handshake, or none in time.

        """
        try:
            inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except httpcore2.ConnectTimeout:
            raise late_handshake(server_hostname or "") from None
        except (httpcore2.ConnectError, OSError) as error:
            raise tls_failure(error, server_hostname or "") from error
        except BaseException:
            await self._inner.aclose()
            raise
        return GuardedStream(inner, encrypted=True)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the library's signature
        return self._is_readable() if info == "is_readable" else self._inner.get_extra_info(info)

    def spoil(self) -> None:
        """See to it that no further request is written to this stream."""
        self._spoilt = True

    def _is_readable(self) -> bool:
        return self._spoilt or self._socket.fileno() < 0 or bool(self._poller.poll(0))
