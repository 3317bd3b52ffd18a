"""The dispatcher over HTTP: judge the target, choose a client, time it, name the outcome."""

import asyncio
import importlib
import ssl
from time import monotonic
from typing import Literal, Protocol

from webhook_runner.dispatch.connector import Connector, make_ssl_context
from webhook_runner.dispatch.exchange import Exchange
from webhook_runner.dispatch.failure import describe, outcome_of
from webhook_runner.dispatch.guard import Guard
from webhook_runner.dispatch.lean import LeanClient
from webhook_runner.dispatch.proxy import Proxy, ProxyChoice
from webhook_runner.dispatch.resolver import Resolver, SystemResolver
from webhook_runner.dispatch.target import Origin, Target, target_of
from webhook_runner.dispatch.wellformed import check_message
from webhook_runner.errors import ConfigError
from webhook_runner.settings import EgressSettings
from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Outcome, TimedOut
from webhook_runner.task.request import Request

_MOST_PASSED = 4096


class _Client(Protocol):
    def configure(self, queue: str, concurrency: int) -> None: ...

    async def exchange(
        self, request: Request, target: Target, queue: str, exchange: Exchange
    ) -> None: ...

    async def close(self) -> None: ...


class HttpDispatcher:
    """Sends requests over HTTP/1.1; the ``Dispatcher`` port.

    ``client`` sends what goes straight to its endpoint; what goes through the proxy is always
    sent by httpx2's. Every queue has connections of its own.
    """

    def __init__(
        self,
        egress: EgressSettings,
        *,
        resolver: Resolver | None = None,
        client: Literal["lean", "httpx2"] = "lean",
    ) -> None:
        """Read lists, certificates and proxy of the egress settings.

        Raises:
            ConfigError: one of them cannot be used.

        """
        try:
            self._guard = Guard(egress.profile, egress.allow, egress.deny)
        except ValueError as error:
            raise ConfigError(f"egress: {error}") from error
        context = make_ssl_context(egress.ca_file)
        self._choice = ProxyChoice(egress.proxy, egress.no_proxy)
        resolver = resolver or SystemResolver()
        direct = Connector(self._guard, resolver)
        self._direct: _Client = (LeanClient if client == "lean" else _pooled)(direct, context)
        self._proxied: _Client = self._direct
        if self._choice.proxy is not None:
            # A task that names the proxy as its target is judged like any other.
            to_proxy = Connector(self._guard, resolver, self._choice.trusted)
            self._proxied = _pooled(to_proxy, context, self._choice.proxy)
        self._passed: set[str] = set()

    def configure(self, queue: str, concurrency: int) -> None:
        """Set how many connections a queue may hold.

        Takes effect for the next request; requests under way are left alone.
        """
        self._direct.configure(queue, concurrency)
        if self._proxied is not self._direct:
            self._proxied.configure(queue, concurrency)

    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        """Send one request and name what it met with.

        Raises:
            MemoryError: nothing sensible can be said any more.

        """
        began = monotonic()
        exchange = Exchange()
        deadline: asyncio.Timeout | None = None
        failure: Exception | None = None
        try:
            target = target_of(request.url)
            check_message(request)
            self._check(target.origin)
            async with asyncio.timeout(request.timeout) as deadline:
                await self._client(target.origin).exchange(
                    request, target, envelope.task.queue, exchange
                )
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a journey must end with an outcome
            failure = error
        seconds = monotonic() - began
        late = deadline is not None and deadline.expired()
        if exchange.status is not None:
            return exchange.responded(seconds, _note(failure, late=late))
        if late:
            return TimedOut(seconds, sent=exchange.sent)
        return outcome_of(failure or RuntimeError("no answer"), sent=exchange.sent, seconds=seconds)

    async def close(self) -> None:
        """Close every connection."""
        await self._direct.close()
        await self._proxied.close()

    def _client(self, origin: Origin) -> _Client:
        return self._direct if self._choice.is_direct(origin.host) else self._proxied

    def _check(self, origin: Origin) -> None:
        # The lists are fixed, so what the name alone says of an origin never changes.
        if origin.name in self._passed:
            return
        if self._choice.is_direct(origin.host):
            self._guard.check_host(origin.host, origin.port)
        else:
            self._guard.check_unresolved(origin.host, origin.port)
        if len(self._passed) >= _MOST_PASSED:
            self._passed.clear()
        self._passed.add(origin.name)


def _pooled(connector: Connector, context: ssl.SSLContext, proxy: Proxy | None = None) -> _Client:
    # Few need it, and everybody would have it in memory.
    room = importlib.import_module("webhook_runner.dispatch.pooled")
    client: _Client = room.PooledClient(connector, context, proxy)
    return client


def _note(failure: Exception | None, *, late: bool) -> str:
    if late:
        return "the body did not end before the deadline"
    return "" if failure is None else f"the body broke off: {describe(failure)}"
