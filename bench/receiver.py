"""An HTTP receiver as a process of its own: does what a path says and writes every request down.

``python -m bench.receiver LOG`` prints its ports as JSON, by the names of its endpoints, "" for the
good one; all of them do what a path says. SIGTERM ends it with the log complete.
"""

import asyncio
import importlib
import importlib.util
import json
import signal
import socket
import sys
import time
from pathlib import Path
from typing import IO

from bench.script import HOSTILE, STORMY
from tests.parts.http_connection import reset

FLUSH_SECONDS = 0.05
RETRY_AFTER = 1
STORM_SECONDS = 4
_DRIP_SECONDS = 0.2
_HEAD_END = b"\r\n\r\n"
_GARBAGE = b"\x16\x03\x01 this is no answer\r\n\r\n"
_REFUSING = "refuse"
_ANSWERS = {
    status: f"HTTP/1.1 {status} {word}\r\nContent-Length: 0\r\n\r\n".encode()
    for status, word in (
        (200, "OK"),
        (404, "Not Found"),
        (429, f"Too Many Requests\r\nRetry-After: {RETRY_AFTER}"),
        (500, "Internal Server Error"),
        (503, "Service Unavailable"),
    )
}


class Log:
    """One line for each request that has ended, written now and then."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._lines: list[str] = []
        self.open: set[Connection] = set()

    def add(self, line: str) -> None:
        self._lines.append(line)

    def flush(self) -> None:
        self._file.write("".join(self._lines))
        self._file.flush()
        self._lines.clear()

    def close(self) -> None:
        """Write down also what was not answered."""
        for connection in tuple(self.open):
            connection.give_up()
        self.flush()

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.flush()


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, bodies with a Content-Length."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._arrived = 0.0
        self._about = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._log.open.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.give_up()
        self._transport = None
        self._log.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._about:
            self._advance()

    def give_up(self) -> None:
        """Write down that the request at hand was never answered."""
        if self._timer is not None:
            self._timer.cancel()
        self._end(0)

    def _advance(self) -> None:
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return
        start, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        length = end + len(_HEAD_END) + int(fields.get("content-length", "0"))
        if len(self._buffer) < length:
            return
        self._arrived = time.time()
        self._buffer = self._buffer[length:]
        path, attempt = start.split(" ")[1], fields.get("webhook-runner-attempt", "0")
        doubt = int(fields.get("webhook-runner-possible-duplicate") == "true")
        known = ("webhook-runner-eta", "webhook-runner-queue", "x-served-by")
        rest = "\t".join(fields.get(name, "") for name in known)
        self._about = f"{path}\t{fields.get('idempotency-key', '')}\t{attempt}\t{doubt}\t{rest}"
        self._obey(path, int(attempt))

    def _obey(self, path: str, attempt: int) -> None:
        """Do what the first step of a path says."""
        step, _, number = path.split("/")[1].partition("-")
        match step:
            case "slow":
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(int(number) / 1000, self._answer, 200)
            case "silent":
                pass
            case "drip":
                self._drip(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            case "reset" | "garbage":
                self._break_off(step)
            case _:
                self._answer(_status(step, number, path, attempt))

    def _drip(self, rest: bytes) -> None:
        if self._transport is None:
            return
        self._transport.write(rest[:1] or b"x")
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_DRIP_SECONDS, self._drip, rest[1:])

    def _break_off(self, how: str) -> None:
        self._end(0)
        if self._transport is None:
            return
        if how == "reset":
            reset(self._transport)
        else:
            self._transport.write(_GARBAGE)
            self._transport.close()

    def _answer(self, status: int) -> None:
        self._timer = None
        # Before the answer is written: after it, the daemon may be the first to look at the clock.
        self._end(status)
        if self._transport is not None:
            self._transport.write(_ANSWERS[status])
        if self._buffer:
            self._advance()

    def _end(self, status: int) -> None:
        if self._about:
            self._log.add(f"{self._arrived:.6f}\t{time.time():.6f}\t{status}\t{self._about}\n")
            self._about = ""


def _status(step: str, number: str, path: str, attempt: int) -> int:
    """Return what is answered at once."""
    odd = path[-1] in "13579"
    match step:
        case "never":
            return 404 if odd else 500
        case "fail" if attempt <= int(number):
            return 404 if odd else 500
        case "busy" if attempt <= int(number):
            return 429
        case "storm" if int(time.time() / STORM_SECONDS) % 2:
            return 503
    return 200


async def serve(file: IO[str]) -> None:
    """Receive until SIGTERM."""
    loop, log, ended = asyncio.get_running_loop(), Log(file), asyncio.Event()
    sockets = {name: socket.socket() for name in ("", *HOSTILE, *STORMY)}
    for name, sock in sockets.items():
        sock.bind(("127.0.0.1", 0))
        if name != _REFUSING:  # bound and not listening: nobody else gets the port
            await loop.create_server(lambda: Connection(log), sock=sock, backlog=1024)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    keeping = asyncio.create_task(log.keep())
    ports = {name: sock.getsockname()[1] for name, sock in sockets.items()}
    print(json.dumps(ports), flush=True)
    await ended.wait()
    keeping.cancel()
    sockets[_REFUSING].close()
    log.close()


def main() -> None:
    factory = None
    if importlib.util.find_spec("uvloop"):
        factory = importlib.import_module("uvloop").new_event_loop
    with Path(sys.argv[1]).open("w") as file, asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(file))


if __name__ == "__main__":
    main()
