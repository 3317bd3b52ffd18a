"""What comes over a connection: read the same however it is cut, and within bounds."""

import asyncio
import socket
from typing import cast

from webhook_runner.dispatch.exchange import MOST_CHUNKS, MOST_KEPT, Exchange
from webhook_runner.dispatch.failure import AttemptError
from webhook_runner.dispatch.lean_connection import LeanConnection

LOOP = asyncio.new_event_loop()
SOCKETS = socket.socketpair()
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
CUTS = (1, 7)
SMALLEST_CHUNK = len(b"1\r\na\r\n")
Met = tuple[object, ...]


class Wire(asyncio.Transport):
    """The endpoint's bytes, in bites of ``size``; then it hangs up."""

    def __init__(self, connection: LeanConnection, said: bytes, size: int) -> None:
        super().__init__({"socket": SOCKETS[0]})
        self.connection, self.said, self.size = connection, said, size
        self.closed = False

    def write(self, data: object) -> None:
        LOOP.call_soon(self.say)

    def say(self) -> None:
        for start in range(0, len(self.said), self.size):
            bite = self.said[start : start + self.size]
            if self.closed:
                return
            self.connection.get_buffer(-1)[: len(bite)] = bite
            self.connection.buffer_updated(len(bite))
        self.abort()

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            LOOP.call_soon(self.connection.connection_lost, None)

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


def check(data: bytes) -> None:
    for head in (GET, HEAD):
        whole = met(head, data, len(data) or 1)
        for size in CUTS:
            assert most_chunks(data, size) > MOST_CHUNKS or whole == met(head, data, size)


def most_chunks(data: bytes, size: int) -> float:
    """Return in how many chunks its body may come: of too many the rest is not read."""
    return len(data) / SMALLEST_CHUNK + len(data) / size


def met(head: bytes, said: bytes, size: int) -> Met:
    return LOOP.run_until_complete(_met(head, said, size))


async def _met(head: bytes, said: bytes, size: int) -> Met:
    connection, exchange = LeanConnection(), Exchange()
    wire = Wire(connection, said, size)
    connection.connection_made(cast("asyncio.BaseTransport", wire))
    error = ""
    try:
        await connection.exchange(head, b"", exchange)
    except AttemptError as failure:
        error = failure.trouble.value
    else:
        assert exchange.status is not None
    await asyncio.sleep(0)
    assert exchange.status is None or 200 <= exchange.status < 1000
    assert len(exchange.kept) <= MOST_KEPT
    assert not (error and exchange.complete)
    for name, value in exchange.headers.items():
        assert name == name.lower()
        assert not set("\r\n\0") & set(value), (name, value)
    return (exchange.status, dict(exchange.headers), bytes(exchange.kept), exchange.complete, error)
