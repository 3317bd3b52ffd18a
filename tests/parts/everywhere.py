"""A listener on every address of a network of its own: whoever is reached was reached here."""

import asyncio
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from tests.parts.loop_thread import LoopThread
from tests.parts.watch import Watch

PORTS = (22, 25, 80, 3128, 8080)
TLS_PORTS = (443, 8443)

_ANSWER = b"HTTP/1.1 %d Said\r\n%sContent-Length: 2\r\nConnection: close\r\n\r\nok"
_REDIRECT = re.compile(rb"/redirect/(\d{3})\?to=(\S*) ")


@dataclass(eq=False)
class Arrival:
    """A connection that was accepted: where, what it said first, and which name TLS gave."""

    address: str
    port: int
    peer: tuple[str, int]
    head: bytes = b""
    server_name: str = ""

    @property
    def host(self) -> str:
        """What the header Host says."""
        found = re.search(rb"(?i)\r\nhost: *([^\r]*)", self.head)
        return found[1].decode() if found else ""


class Everywhere:
    """Accepts on all addresses of both kinds; answers 200, redirects when asked to, hangs up."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.arrivals: list[Arrival] = []
        self._tls = tls
        self._names: dict[int, str] = {}
        self._watch = Watch()
        self._thread = LoopThread("everywhere")
        tls.sni_callback = self._note_name
        self._servers = [
            self._thread.run(asyncio.start_server(self._serve, sock=_listening(family, port)))
            for family in (socket.AF_INET, socket.AF_INET6)
            for port in (*PORTS, *TLS_PORTS)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            self._thread.call(server.close)
        self._thread.close()

    def heard_at(self, addresses: Iterable[str]) -> list[str]:
        """Connect to port 80 of each address and return those at which that was noticed."""
        heard = []
        for address in addresses:
            with socket.create_connection((address, 80), 10) as caller:
                self._forget(caller)
            heard.append(address)
        return heard

    def settle(self) -> None:
        """Wait until all that connected before now was accepted."""
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            for port in (*PORTS, *TLS_PORTS):
                with socket.socket(family) as last:
                    last.connect((address, port))
                    self._forget(last)

    def _forget(self, caller: socket.socket) -> None:
        """Wait for this arrival, which comes after all before it, and drop it."""
        peer, where = caller.getsockname()[:2], caller.getpeername()[:2]

        def found() -> list[Arrival]:
            # Callers of two addresses may have the same port.
            return [e for e in self.arrivals if (e.peer, (e.address, e.port)) == (peer, where)]

        self._watch.until(lambda: bool(found()), 10, lambda: f"{peer} did not arrive")
        self.arrivals.remove(found()[-1])

    def _note_name(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        self._names[id(connection)] = name or ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        arrival = Arrival(address, port, writer.get_extra_info("peername")[:2])
        self.arrivals.append(arrival)
        self._watch.stir()
        try:
            if port in TLS_PORTS:
                await writer.start_tls(self._tls)
                arrival.server_name = self._names.pop(id(writer.get_extra_info("ssl_object")), "")
            arrival.head = await reader.readuntil(b"\r\n\r\n")
            writer.write(_answer_to(arrival.head))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _listening(family: socket.AddressFamily, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("", port))
    sock.listen(1024)
    return sock


def _answer_to(head: bytes) -> bytes:
    if asked := _REDIRECT.search(head):
        return _ANSWER % (int(asked[1]), b"Location: %s\r\n" % asked[2])
    return _ANSWER % (404 if b"/fail " in head else 200, b"")
