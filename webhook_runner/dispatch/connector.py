"""Connections that go only where the guard lets them: resolve, check every answer, connect."""

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from webhook_runner.dispatch.failure import AttemptError, is_exhaustion
from webhook_runner.dispatch.guard import Guard, canonical_host
from webhook_runner.dispatch.resolver import Resolver
from webhook_runner.errors import ConfigError, RefusedError
from webhook_runner.task.outcome import Trouble

C = TypeVar("C")

_SHORTEST_TRY = 1.0
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
    context.set_alpn_protocols(["http/1.1"])
    paths = ssl.get_default_verify_paths()
    # A Python that was not built by the distribution may look where no store is.
    if not ca_file and paths.cafile is None and paths.capath is None:
        store = next((path for path in _STORES if Path(path).is_file()), None)
        context.load_verify_locations(cafile=store) if store else None
    return context


class Connector:
    """Opens connections to checked addresses only. ``trusted`` are the operator's own proxies."""

    def __init__(
        self, guard: Guard, resolver: Resolver, trusted: frozenset[tuple[str, int]] = frozenset()
    ) -> None:
        self._guard = guard
        self._resolver = resolver
        self._trusted = trusted

    async def connect(
        self, host: str, port: int, ends_at: float, open_one: Callable[[str, float], Awaitable[C]]
    ) -> C:
        """Resolve, check and connect, all before ``ends_at`` (loop time).

        ``open_one`` gets an address and a number of seconds, which it keeps to.

        Raises:
            RefusedError: an answer is not allowed; then none of them is tried.
            AttemptError: no address, or none that answers.

        """
        try:
            async with asyncio.timeout_at(ends_at):
                addresses = await self._checked(canonical_host(host), port)
        except TimeoutError:
            raise AttemptError(Trouble.DNS, f"{host}: no answer from the resolver") from None
        loop = asyncio.get_running_loop()
        last = AttemptError(Trouble.CONNECT_TIMEOUT, "no time was left to connect")
        for tried, address in enumerate(addresses):
            left = ends_at - loop.time()
            if left <= 0:
                break
            # A silent address must leave some time for the next one.
            share = min(left, max(_SHORTEST_TRY, left / (len(addresses) - tried)))
            try:
                return await open_one(address, share)
            except TimeoutError:
                last = AttemptError(Trouble.CONNECT_TIMEOUT, f"{address}:{port} did not answer")
            except OSError as error:
                last = _connect_failure(error, address, port)
        raise last

    async def _checked(self, host: str, port: int) -> tuple[str, ...]:
        if (host, port) in self._trusted:
            return await self._resolver.resolve(host)
        self._guard.check_host(host, port)
        addresses = await self._resolver.resolve(host)
        for address in addresses:
            self._guard.check(host, address, port)
        return addresses


def tls_failure(error: Exception, host: str) -> Exception:
    """Say what a failed handshake means: proof that it is not the endpoint, or trouble."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RefusedError("certificate", f"{host}: {cause.verify_message or cause}")
    words = getattr(cause, "reason", None) or str(cause) or "the peer closed the connection"
    return AttemptError(Trouble.TLS, f"{host}: no TLS handshake: {words}")


def late_handshake(host: str) -> AttemptError:
    return AttemptError(Trouble.CONNECT_TIMEOUT, f"{host}: no TLS handshake in time")


def _connect_failure(error: Exception, address: str, port: int) -> AttemptError:
    innermost: BaseException = error
    while (cause := innermost.__cause__ or innermost.__context__) is not None:
        innermost = cause
    number = getattr(innermost, "errno", None) or 0
    words = _WORDS.get(number) or errno.errorcode.get(number) or str(innermost)
    trouble = Trouble.RESOURCE if is_exhaustion(innermost) else Trouble.CONNECT
    return AttemptError(trouble, f"{address}:{port}: {words}")
