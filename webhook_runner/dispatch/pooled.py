"""The client on httpcore2's pools: it knows proxies, and is what the lean one is compared with."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import cast

import httpcore2

from webhook_runner.dispatch.connector import Connector
from webhook_runner.dispatch.exchange import Exchange
from webhook_runner.dispatch.failure import AttemptError, describe, trouble_of
from webhook_runner.dispatch.fields import fields_of
from webhook_runner.dispatch.lanes import Lanes
from webhook_runner.dispatch.lean_pool import KEEPALIVE_SECONDS
from webhook_runner.dispatch.proxy import Proxy
from webhook_runner.dispatch.stream import GuardedBackend, GuardedStream, StaleConnectionError
from webhook_runner.dispatch.target import DEFAULT_PORTS, Target
from webhook_runner.errors import RefusedError
from webhook_runner.task.outcome import Trouble
from webhook_runner.task.request import Request

_NO_ANSWER = "Server disconnected without sending a response."


class PooledClient:
    """HTTP/1.1 by httpcore2, directly or through one proxy."""

    def __init__(
        self, connector: Connector, context: ssl.SSLContext, proxy: Proxy | None = None
    ) -> None:
        self._backend = GuardedBackend(connector)
        self._ssl = context
        self._proxy = proxy
        self._lanes = Lanes(self._pool, httpcore2.AsyncConnectionPool.aclose)

    def configure(self, queue: str, concurrency: int) -> None:
        self._lanes.configure(queue, concurrency)

    async def exchange(
        self, request: Request, target: Target, queue: str, exchange: Exchange
    ) -> None:
        """Send one request and keep what comes back.

        Raises:
            AttemptError, RefusedError: what the network or the guard did, and errors unforeseen.

        """
        outgoing = _outgoing(request, target, exchange)
        lane = self._lanes.enter(queue)
        try:
            await _exchange(lane.pool, outgoing, exchange)
        except MemoryError:
            raise
        except Exception as error:
            raise _translated(error) from error
        finally:
            await self._lanes.leave(lane)

    async def close(self) -> None:
        await self._lanes.close()

    def _pool(self, size: int) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._ssl,
            proxy=self._as_proxy(),
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=self._backend,
        )

    def _as_proxy(self) -> httpcore2.Proxy | None:
        proxy = self._proxy
        if proxy is None:
            return None
        return httpcore2.Proxy(
            proxy.url, auth=proxy.auth, ssl_context=self._ssl if proxy.encrypted else None
        )


async def _exchange(
    pool: httpcore2.AsyncConnectionPool, outgoing: httpcore2.Request, exchange: Exchange
) -> None:
    try:
        response = await pool.handle_async_request(outgoing)
    except StaleConnectionError:
        # Not a byte of it was written, so this is still the first time.
        exchange.sent = False
        response = await pool.handle_async_request(outgoing)
    exchange.begin(response.status, response.headers)
    try:
        body = cast("AsyncGenerator[bytes]", aiter(cast("AsyncIterable[bytes]", response.stream)))
        async with aclosing(body) as chunks:
            await exchange.take_body(chunks)
        if _said_more(response):
            _spoil(response)
    finally:
        await response.aclose()


def _said_more(response: httpcore2.Response) -> bool:
    """Whether bytes came behind the answer.

    The library keeps them and would take them for the answer to the next request. It tells nobody,
    so its insides are asked; where they are not what they were, no connection is used twice.
    """
    connection = getattr(getattr(response.stream, "_stream", None), "_connection", None)
    parser = getattr(connection, "_h11_state", None)
    return parser is None or bool(parser.trailing_data[0])


def _spoil(response: httpcore2.Response) -> None:
    stream = response.extensions.get("network_stream")
    if isinstance(stream, GuardedStream):
        stream.spoil()


def _outgoing(request: Request, target: Target, exchange: Exchange) -> httpcore2.Request:
    origin = target.origin
    port = None if origin.port == DEFAULT_PORTS[origin.scheme] else origin.port
    return httpcore2.Request(
        request.method,
        httpcore2.URL(scheme=origin.scheme, host=origin.raw_host, port=port, target=target.path),
        headers=[(n.encode("ascii"), v.encode()) for n, v in fields_of(request, origin)],
        content=request.body,
        extensions={
            "timeout": {"connect": request.connect_timeout},
            "trace": exchange.trace,
            "sni_hostname": origin.server_name,
        },
    )


def _translated(error: Exception) -> Exception:
    """Say in our words what the library means; what it does not know stays as it is."""
    match error:
        case httpcore2.LocalProtocolError():
            return RefusedError("request", f"it cannot be written as HTTP: {describe(error)}")
        case httpcore2.UnsupportedProtocol():
            return RefusedError("url", describe(error))
        case httpcore2.ProxyError():
            return AttemptError(Trouble.CONNECT, f"the proxy answered {error}")
        case httpcore2.RemoteProtocolError() if str(error) == _NO_ANSWER:
            return AttemptError(Trouble.RESET, "closed without an answer")
        case httpcore2.RemoteProtocolError():
            return AttemptError(Trouble.PROTOCOL, describe(error))
        case httpcore2.NetworkError():
            known = trouble_of(error, sent=True)
            trouble = Trouble.RESET if known is Trouble.INTERNAL else known
            return AttemptError(trouble, describe(error))
        case StaleConnectionError():
            return AttemptError(Trouble.RESET, "closed while idle")
        case _:
            return error
