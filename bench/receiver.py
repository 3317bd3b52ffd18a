"""An HTTP receiver as a process of its own: does what a path says and writes every request down.

``python -m bench.receiver LOG`` prints its port; SIGTERM ends it with the log complete.
"""

import asyncio
import importlib
import importlib.util
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

FLUSH_SECONDS = 0.05
_HEAD_END = b"\r\n\r\n"
_ANSWERS = {
    status: f"HTTP/1.1 {status} {word}\r\nContent-Length: 0\r\n\r\n".encode()
    for status, word in ((200, "OK"), (500, "Internal Server Error"))
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
        self._write: Callable[[bytes], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._arrived = 0.0
        self._about = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]
        self._log.open.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.give_up()
        self._log.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._about:
            self._advance()

    def give_up(self) -> None:
        """Write down that the request at hand was never answered."""
        if self._timer is not None:
            self._timer.cancel()
        if self._about:
            self._log.add(f"{self._arrived:.6f}\t0\t0\t{self._about}\n")
            self._about = ""

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
        self._take(start.split(" ")[1], fields)

    def _take(self, path: str, fields: dict[str, str]) -> None:
        attempt = fields.get("webhook-runner-attempt", "0")
        doubt = fields.get("webhook-runner-possible-duplicate", "")
        eta = fields.get("webhook-runner-eta", "")
        name = fields.get("idempotency-key", "")
        self._about = f"{path}\t{name}\t{attempt}\t{int(doubt == 'true')}\t{eta}"
        step, _, number = path.split("/")[1].partition("-")
        if step == "slow":
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(int(number) / 1000, self._answer, 200)
        elif step == "never" or (step == "fail" and int(attempt) <= int(number)):
            self._answer(500)
        else:
            self._answer(200)

    def _answer(self, status: int) -> None:
        self._timer = None
        # Before the answer is written: after it, the daemon may be the first to look at the clock.
        answered = time.time()
        if self._write is not None:
            self._write(_ANSWERS[status])
        self._log.add(f"{self._arrived:.6f}\t{answered:.6f}\t{status}\t{self._about}\n")
        self._about = ""
        if self._buffer:
            self._advance()


async def serve(file: IO[str]) -> None:
    """Receive until SIGTERM."""
    loop, log, ended = asyncio.get_running_loop(), Log(file), asyncio.Event()
    server = await loop.create_server(lambda: Connection(log), "127.0.0.1", 0, backlog=1024)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    keeping = asyncio.create_task(log.keep())
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    keeping.cancel()
    log.close()


def main() -> None:
    factory = None
    if importlib.util.find_spec("uvloop"):
        factory = importlib.import_module("uvloop").new_event_loop
    with Path(sys.argv[1]).open("w") as file, asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(file))


if __name__ == "__main__":
    main()
