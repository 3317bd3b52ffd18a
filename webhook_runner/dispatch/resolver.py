"""Names to addresses: getaddrinfo in threads of its own, bounded, timed and briefly cached."""

import asyncio
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from typing import Protocol

from webhook_runner.dispatch.failure import AttemptError
from webhook_runner.errors import RefusedError
from webhook_runner.task.outcome import Trouble

Addresses = tuple[str, ...]
Lookup = Callable[[str], Addresses]

MOST_ADDRESSES = 16
_MOST_CACHED = 4096


class Resolver(Protocol):
    async def resolve(self, host: str) -> Addresses:
        """Return every address of a host, at least one, best first.

        Raises:
            AttemptError: it has none, or the answer took too long.
            RefusedError: it is no host name.

        """


class SystemResolver:
    """What the system's own resolver says (files, DNS, ...), remembered for ``ttl`` seconds.

    ``limit`` bounds one look-up in seconds, ``threads`` how many run at a time: a look-up that
    nobody waits for any longer keeps its thread until the system gives up on it. ``reserved``
    more are for names that had an answer the last time: these go on however many others hang.
    """

    def __init__(
        self,
        lookup: Lookup | None = None,
        *,
        threads: int = 128,
        reserved: int = 32,
        limit: float = 5,
        ttl: float = 5,
    ) -> None:
        self._lookup = lookup or system_lookup
        self._limit = limit
        self._ttl = ttl
        self._free = asyncio.Semaphore(threads)
        self._reserved = asyncio.Semaphore(reserved)
        self._cache: dict[str, tuple[float, Addresses]] = {}
        self._running: dict[str, asyncio.Future[Addresses]] = {}

    async def resolve(self, host: str) -> Addresses:
        if _is_address(host):
            return (host,)
        loop = asyncio.get_running_loop()
        until, addresses = self._cache.get(host, (0.0, ()))
        if loop.time() < until:
            return addresses
        free = self._reserved if self._cache.pop(host, None) else self._free
        try:
            async with asyncio.timeout(self._limit):
                addresses = await self._shared(host, free)
        except TimeoutError:
            raise AttemptError(
                Trouble.DNS, f"{host}: no answer from the resolver within {self._limit:g} s"
            ) from None
        if len(self._cache) >= _MOST_CACHED:
            self._cache.clear()
        self._cache[host] = (loop.time() + self._ttl, addresses)
        return addresses

    async def _shared(self, host: str, free: asyncio.Semaphore) -> Addresses:
        """Wait for the one look-up of this host that runs, starting it if need be."""
        if host not in self._running:
            await free.acquire()
            if host in self._running:
                free.release()
        running = self._running.get(host) or self._start(host, free)
        return _judged(host, await asyncio.shield(running))

    def _start(self, host: str, free: asyncio.Semaphore) -> asyncio.Future[Addresses]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Addresses] = loop.create_future()
        self._running[host] = found

        def finish(addresses: Addresses, error: Exception | None) -> None:
            self._running.pop(host, None)
            free.release()
            if error is None:
                found.set_result(addresses)
            else:
                found.set_exception(error)
                found.exception()  # whoever asked may be gone: never "was never retrieved"

        def look_up() -> None:
            addresses: Addresses = ()
            failure: Exception | None = None
            try:
                addresses = self._lookup(host)
            except Exception as error:  # noqa: BLE001 - carried over to whoever waits
                failure = error
            try:
                loop.call_soon_threadsafe(finish, addresses, failure)
            except RuntimeError:
                return  # the loop is closed: nobody waits any longer

        # A daemon thread, because a pool's threads would hold up the end of the process for as
        # long as the system's resolver tries.
        try:
            threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        except RuntimeError as error:
            finish((), AttemptError(Trouble.RESOURCE, f"no thread to resolve {host}: {error}"))
        return found


def system_lookup(host: str) -> Addresses:
    """Ask the system, blocking.

    Raises:
        AttemptError: there is no answer.
        RefusedError: it is no host name.

    """
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise RefusedError("url", f"{host!r} is no host name: {error}") from None
    except OSError as error:
        raise AttemptError(Trouble.DNS, f"{host}: {error.strerror or error}") from error
    return tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _judged(host: str, addresses: Addresses) -> Addresses:
    if not addresses:
        raise AttemptError(Trouble.DNS, f"{host} has no address")
    return addresses[:MOST_ADDRESSES]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
