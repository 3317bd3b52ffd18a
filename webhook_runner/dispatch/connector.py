"""Connections that go only where the guard lets them: resolve, check every answer, connect."""

import asyncio
import errno
import select
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpcore2

from webhook_runner.dispatch.failure import AttemptError, is_exhaustion
from webhook_runner.dispatch.guard import Guard, canonical_host
from webhook_runner.dispatch.resolver import Resolver
from webhook_runner.errors import ConfigError, RefusedError
from webhook_runner.task.outcome import Trouble

_READ_BYTES = 16_384
_SHORTEST_TRY = 1.0
_STALL_CHECK = 0.05
_LARGE_WRITE = 65_536
_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
    errno.EMFILE: "too many open files in this process",
    errno.ENFILE: "too many open files on this machine",
    errno.EADDRNOTAVAIL: "no local port is free",
}
_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # BSD, macOS
)


class StaleConnectionError(Exception):
    """The peer closed an idle connection before a byte of the next request was written."""


def make_ssl_context(ca_file: str = "") -> ssl.SSLContext:
    """Return a context that verifies by ``ca_file``, or by the system's store.

    Raises:
        ConfigError: the file cannot be read or holds no certificate.

    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"egress.ca_file: {ca_file} cannot be used ({error}); name a file of PEM certificates"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    paths = ssl.get_default_verify_paths()
    # A Python that was not built by the distribution may look where no store is.
    if not ca_file and paths.cafile is None and paths.capath is None:
        store = next((path for path in _STORES if Path(path).is_file()), None)
        context.load_verify_locations(cafile=store) if store else None
    return context


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to checked addresses only. ``trusted`` are the operator's own proxies."""

    def __init__(
        self, guard: Guard, resolver: Resolver, trusted: frozenset[tuple[str, int]] = frozenset()
    ) -> None:
        self._guard = guard
        self._resolver = resolver
        self._trusted = trusted
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check, connect, all within ``timeout`` seconds.

        Raises:
            RefusedError: an answer is not allowed; then none of them is tried.
            AttemptError: no address, or none that answers.

        """
        ends_at = asyncio.get_running_loop().time() + (timeout or 10.0)
        try:
            async with asyncio.timeout_at(ends_at):
                addresses = await self._checked(canonical_host(host), port)
        except TimeoutError:
            raise AttemptError(Trouble.DNS, f"{host}: no answer from the resolver") from None
        return await self._first_open(addresses, port, ends_at, local_address, socket_options)

    async def _checked(self, host: str, port: int) -> tuple[str, ...]:
        if (host, port) in self._trusted:
            return await self._resolver.resolve(host)
        self._guard.check_host(host, port)
        addresses = await self._resolver.resolve(host)
        for address in addresses:
            self._guard.check(host, address, port)
        return addresses

    async def _first_open(
        self,
        addresses: tuple[str, ...],
        port: int,
        ends_at: float,
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        last = AttemptError(Trouble.CONNECT_TIMEOUT, "no time was left to connect")
        for tried, address in enumerate(addresses):
            left = ends_at - loop.time()
            if left <= 0:
                break
            # A silent address must leave some time for the next one.
            share = min(left, max(_SHORTEST_TRY, left / (len(addresses) - tried)))
            try:
                return GuardedStream(
                    await self._inner.connect_tcp(
                        address, port, share, local_address, socket_options
                    )
                )
            except httpcore2.ConnectTimeout:
                last = AttemptError(Trouble.CONNECT_TIMEOUT, f"{address}:{port} did not answer")
            except (httpcore2.ConnectError, OSError) as error:
                last = _connect_failure(error, address, port)
        raise last

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class GuardedStream(httpcore2.AsyncNetworkStream):
    """A stream that tells a stale connection before writing, and TLS troubles by their names."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream, *, encrypted: bool = False) -> None:
        self._inner = inner
        self._encrypted = encrypted
        self._answered = False
        # Asked for once: the pool looks at every idle connection before every request.
        self._socket: socket.socket = inner.get_extra_info("socket")
        self._poller = select.poll()
        self._poller.register(self._socket.fileno(), select.POLLIN)

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> bytes:
        self._answered = True
        # Small bites, so that a flood of interim responses cannot hold the loop for long.
        return await self._inner.read(min(max_bytes, _READ_BYTES), timeout)

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
            self._answered = False
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
            raise AttemptError(
                Trouble.CONNECT_TIMEOUT, f"{server_hostname}: no TLS handshake in time"
            ) from None
        except (httpcore2.ConnectError, OSError) as error:
            raise _tls_failure(error, server_hostname or "") from error
        except BaseException:
            await self._inner.aclose()
            raise
        return GuardedStream(inner, encrypted=True)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the library's signature
        return self._is_readable() if info == "is_readable" else self._inner.get_extra_info(info)

    def _is_readable(self) -> bool:
        return self._socket.fileno() < 0 or bool(self._poller.poll(0))


def _tls_failure(error: Exception, host: str) -> Exception:
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RefusedError("certificate", f"{host}: {cause.verify_message or cause}")
    words = getattr(cause, "reason", None) or str(cause) or "the peer closed the connection"
    return AttemptError(Trouble.TLS, f"{host}: no TLS handshake: {words}")


def _connect_failure(error: Exception, address: str, port: int) -> AttemptError:
    innermost: BaseException = error
    while (cause := innermost.__cause__ or innermost.__context__) is not None:
        innermost = cause
    number = getattr(innermost, "errno", None) or 0
    words = _WORDS.get(number) or errno.errorcode.get(number) or str(innermost)
    trouble = Trouble.RESOURCE if is_exhaustion(innermost) else Trouble.CONNECT
    return AttemptError(trouble, f"{address}:{port}: {words}")
