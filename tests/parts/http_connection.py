"""One server-side HTTP/1.1 connection: parse requests, one at a time, and write answers."""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

_LINGER_ZERO = struct.pack("ii", 1, 0)
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Received:
    """A request just parsed."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def reset(transport: asyncio.BaseTransport) -> None:
    """Drop a connection with RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    if isinstance(transport, asyncio.Transport):
        transport.abort()


class HttpConnection(asyncio.Protocol):
    """Hand each complete request to `arrive`; the next is parsed once `respond` was called."""

    def __init__(
        self,
        number: int,
        siblings: "set[HttpConnection]",
        arrive: "Callable[[HttpConnection, Received], None]",
    ) -> None:
        self.number = number
        self.lost = False
        self.on_lost: Callable[[], None] | None = None
        self._siblings = siblings
        self._arrive = arrive
        self._buffer = bytearray()
        self._busy = False
        self._close_after = False
        self._continued = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._siblings.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._siblings.discard(self)
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._advance()

    def reset(self) -> None:
        """Cut the connection with RST."""
        if self._transport is not None:
            reset(self._transport)

    def respond(self, status: int, headers: dict[str, str], body: bytes, method: str) -> None:
        """Write one answer and take up the next request."""
        if self._transport is None or self.lost:
            return
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        bodiless = status in {204, 304} or status < 200
        if not bodiless and "content-length" not in {name.lower() for name in headers}:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode("latin-1") + _HEAD_END
        self._transport.write(head if bodiless or method == "HEAD" else head + body)
        self._busy = self._continued = False
        if self._close_after:
            self._transport.close()
        elif self._buffer:
            self._advance()

    def _advance(self) -> None:
        if self._busy:
            return
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return
        request_line, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = tuple((name.strip(), value.strip()) for name, _, value in pairs)
        fields = {name.lower(): value for name, value in headers}
        body = self._take_body(fields, end + len(_HEAD_END))
        if body is None:
            self._continue(fields)
            return
        method, target, _ = request_line.split(" ", 2)
        self._busy = True
        self._close_after = fields.get("connection", "").lower() == "close"
        self._arrive(self, Received(method, target, headers, body))

    def _take_body(self, fields: dict[str, str], start: int) -> bytes | None:
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return self._take_chunks(start)
        end = start + int(fields.get("content-length", "0"))
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[start:end])
        del self._buffer[:end]
        return body

    def _take_chunks(self, start: int) -> bytes | None:
        parts: list[bytes] = []
        while True:
            line_end = self._buffer.find(b"\r\n", start)
            if line_end < 0:
                return None
            size = int(self._buffer[start:line_end].split(b";")[0], 16)
            end = line_end + 2 + size
            if len(self._buffer) < end + 2:
                return None
            if size == 0:
                del self._buffer[: end + 2]
                return b"".join(parts)
            parts.append(bytes(self._buffer[line_end + 2 : end]))
            start = end + 2

    def _continue(self, fields: dict[str, str]) -> None:
        if self._continued or fields.get("expect", "").lower() != "100-continue":
            return
        self._continued = True
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
