"""A server that misbehaves on purpose: bytes verbatim, by drips, without end, or cut off."""

import asyncio
import itertools
import re
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from tests.parts.http_connection import reset
from tests.parts.loop_thread import LoopThread
from tests.parts.watch import Watch


@dataclass(frozen=True, slots=True)
class Read:
    """Read one request, head and body by Content-Length; ended early when the peer closes."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write bytes verbatim."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """Write bytes one by one with a pause in seconds after each."""

    data: bytes
    pause: float = 0.5


@dataclass(frozen=True, slots=True)
class Endless:
    """Write bytes again and again until the peer closes, with a pause in seconds between."""

    data: bytes
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing until the peer closes."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Cut the connection with RST."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with FIN."""


Step = Read | Send | Drip | Endless | Silence | Reset | Close


class HostileServer:
    """Play one list of steps per connection; the last list repeats. A script's end is a close."""

    def __init__(self, *scripts: Sequence[Step], tls: ssl.SSLContext | None = None) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self.sent_bytes = 0
        self._scripts = scripts
        self._watch = Watch()
        self._thread = LoopThread("hostile")
        self._server = self._thread.run(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls, backlog=256)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end what is being played."""
        if not self._thread.loop.is_closed():
            self._thread.call(self._server.close)
            self._thread.close()

    def wait_for(self, connections: int, timeout: float = 10.0) -> None:
        """Block until so many connections were accepted. Raises TimeoutError."""
        self._watch.until(
            lambda: self.connections >= connections,
            timeout,
            lambda: f"{self.connections} connections so far",
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        self._watch.stir()
        try:
            for step in script:
                await self._play(step, reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    async def _play(
        self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match step:
            case Read():
                await self._read(reader)
            case Send(data):
                await self._write(writer, [data], 0.0)
            case Drip(data, pause):
                await self._write(writer, (bytes([each]) for each in data), pause)
            case Endless(data, pause):
                await self._write(writer, itertools.repeat(data), pause)
            case Silence():
                await reader.read()
            case Reset():
                reset(writer.transport)
            case Close():
                writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
        except asyncio.IncompleteReadError as partial:
            self.received.append(partial.partial)
        else:
            self.received.append(head + body)
        self._watch.stir()

    async def _write(
        self, writer: asyncio.StreamWriter, chunks: Iterable[bytes], pause: float
    ) -> None:
        for chunk in chunks:
            if writer.is_closing():
                return
            writer.write(chunk)
            await writer.drain()
            self.sent_bytes += len(chunk)
            if pause > 0:
                await asyncio.sleep(pause)
