"""The dispatcher over HTTP: build the request, time it, cap the answer, name the outcome."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import httpcore2
import httpx2

from webhook_runner import __version__
from webhook_runner.dispatch.connector import (
    GuardedBackend,
    StaleConnectionError,
    make_ssl_context,
)
from webhook_runner.dispatch.exchange import Exchange
from webhook_runner.dispatch.failure import AttemptError, describe, outcome_of, trouble_of
from webhook_runner.dispatch.guard import Guard, canonical_host
from webhook_runner.dispatch.proxy import ProxyChoice
from webhook_runner.dispatch.resolver import Resolver, SystemResolver
from webhook_runner.dispatch.wellformed import check_request
from webhook_runner.errors import ConfigError, RefusedError
from webhook_runner.settings import EgressSettings
from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Outcome, TimedOut, Trouble
from webhook_runner.task.request import Request

_DEFAULT_CONCURRENCY = 10
_SPARE_CONNECTIONS = 2
# Below the idle time after which common servers close (5 s), so that few requests meet a
# connection that is just being closed.
_KEEPALIVE_SECONDS = 4.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_DEFAULT_HEADERS = {"accept": b"*/*", "user-agent": f"webhook_runner/{__version__}".encode()}
_NO_ANSWER = "Server disconnected without sending a response."


@dataclass(slots=True)
class _Lane:
    """The connections of one queue: what hangs in one never takes from another."""

    direct: httpcore2.AsyncConnectionPool
    proxied: httpcore2.AsyncConnectionPool | None
    busy: int = 0

    async def close(self) -> None:
        await self.direct.aclose()
        if self.proxied is not None:
            await self.proxied.aclose()


class HttpDispatcher:
    """Sends requests over HTTP/1.1; the ``Dispatcher`` port.

    Every queue has a connection pool of its own, made when it first sends.
    """

    def __init__(self, egress: EgressSettings, *, resolver: Resolver | None = None) -> None:
        """Read lists, certificates and proxy of the egress settings.

        Raises:
            ConfigError: one of them cannot be used.

        """
        try:
            self._guard = Guard(egress.profile, egress.allow, egress.deny)
        except ValueError as error:
            raise ConfigError(f"egress: {error}") from error
        self._ssl = make_ssl_context(egress.ca_file)
        self._choice = ProxyChoice(egress.proxy, egress.no_proxy)
        self._backend = GuardedBackend(
            self._guard, resolver or SystemResolver(), self._choice.trusted
        )
        self._concurrency: dict[str, int] = {}
        self._lanes: dict[str, _Lane] = {}
        self._retired: list[_Lane] = []

    def configure(self, queue: str, concurrency: int) -> None:
        """Set how many connections a queue may hold.

        Takes effect for the next request; requests under way are left alone.
        """
        if self._concurrency.get(queue, _DEFAULT_CONCURRENCY) != concurrency:
            lane = self._lanes.pop(queue, None)
            if lane is not None:
                self._retired.append(lane)
        self._concurrency[queue] = concurrency

    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        """Send one request and name what it met with.

        Raises:
            MemoryError: nothing sensible can be said any more.

        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        exchange = Exchange()
        deadline: asyncio.Timeout | None = None
        failure: Exception | None = None
        try:
            check_request(request)
            async with asyncio.timeout(request.timeout) as deadline:
                await self._attempt(request, envelope.task.queue, exchange)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a journey must end with an outcome
            failure = error
        seconds = loop.time() - began
        late = deadline is not None and deadline.expired()
        if exchange.status is not None:
            return exchange.responded(seconds, _note(failure, late=late))
        if late:
            return TimedOut(seconds, sent=exchange.sent)
        return outcome_of(
            _translated(failure or RuntimeError("no answer")), sent=exchange.sent, seconds=seconds
        )

    async def close(self) -> None:
        """Close every connection."""
        lanes = [*self._lanes.values(), *self._retired]
        self._lanes.clear()
        self._retired.clear()
        for lane in lanes:
            await lane.close()

    async def _attempt(self, request: Request, queue: str, exchange: Exchange) -> None:
        outgoing = _outgoing(request, exchange)
        scheme = outgoing.url.scheme.decode("ascii")
        host = canonical_host(outgoing.url.host.decode("ascii"))
        port = outgoing.url.port or _DEFAULT_PORTS[scheme]
        self._guard.check_host(host, port)
        lane = self._lane(queue)
        lane.busy += 1
        try:
            pool = None if self._choice.is_direct(host) else lane.proxied
            await _exchange(pool or lane.direct, outgoing, exchange)
        finally:
            lane.busy -= 1
            await self._close_retired()

    def _lane(self, queue: str) -> _Lane:
        lane = self._lanes.get(queue)
        if lane is None:
            size = self._concurrency.get(queue, _DEFAULT_CONCURRENCY) + _SPARE_CONNECTIONS
            proxy = self._choice.proxy
            lane = self._lanes[queue] = _Lane(
                direct=self._pool(size, None),
                proxied=None if proxy is None else self._pool(size, self._as_proxy()),
            )
        return lane

    def _pool(self, size: int, proxy: httpcore2.Proxy | None) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._ssl,
            proxy=proxy,
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=self._backend,
        )

    def _as_proxy(self) -> httpcore2.Proxy | None:
        proxy = self._choice.proxy
        if proxy is None:
            return None
        return httpcore2.Proxy(
            proxy.url, auth=proxy.auth, ssl_context=self._ssl if proxy.encrypted else None
        )

    async def _close_retired(self) -> None:
        done = [lane for lane in self._retired if not lane.busy]
        self._retired = [lane for lane in self._retired if lane.busy]
        for lane in done:
            await lane.close()


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
    finally:
        await response.aclose()


def _outgoing(request: Request, exchange: Exchange) -> httpcore2.Request:
    """Write the request down as it goes out.

    Raises:
        RefusedError: rule ``url``: it passed for a URL until it was taken apart in full.

    """
    try:
        url = httpx2.URL(request.url)
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise RefusedError("url", f"the url is malformed: {error}") from None
    given = {
        name.lower(): (name.encode("ascii"), value.strip(" \t").encode("utf-8"))
        for name, value in request.headers.items()
    }
    # We read bodies as they are on the wire: an encoding would only hide what was said.
    given["accept-encoding"] = (b"Accept-Encoding", b"identity")
    for name, value in _DEFAULT_HEADERS.items():
        given.setdefault(name, (name.title().encode("ascii"), value))
    prepared = httpx2.Request(
        request.method, url, headers=list(given.values()), content=request.body or None
    )
    extensions = {"timeout": {"connect": request.connect_timeout}, "trace": exchange.trace}
    if url.raw_host.endswith(b"."):
        extensions["sni_hostname"] = url.raw_host.decode("ascii").rstrip(".")
    return httpcore2.Request(
        request.method,
        httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=prepared.headers.raw,
        content=prepared.stream,
        extensions=extensions,
    )


def _note(failure: Exception | None, *, late: bool) -> str:
    if late:
        return "the body did not end before the deadline"
    return "" if failure is None else f"the body broke off: {describe(failure)}"


def _translated(error: Exception) -> Exception:
    """Say in our words what the client library means; what it does not know stays as it is."""
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
