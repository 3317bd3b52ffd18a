"""A TCP proxy with faults that can be switched while connections are open."""

import asyncio
import random
from enum import Enum, auto
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from tests.parts.http_connection import reset
from tests.parts.loop_thread import LoopThread

_CHUNK = 65_536
# So little is read ahead of the delayed writer that a slow link is slow for the sender too.
_CHUNKS_AHEAD = 64


class Side(Enum):
    """The two ends of a proxied connection."""

    CLIENT = auto()
    SERVER = auto()


class _Link:
    """One proxied connection: two pumps with a gate."""

    def __init__(self, proxy: "FaultProxy", client: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.writers = {Side.CLIENT: client}
        self._finished: set[Side] = set()

    def finish(self, towards: Side) -> None:
        """Send FIN to one side; what comes for it later is dropped."""
        writer = self.writers.get(towards)
        if writer is None or towards in self._finished:
            return
        self._finished.add(towards)
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    async def pump(self, reader: asyncio.StreamReader, to: Side) -> None:
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_AHEAD)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._write(line, to))
            while True:
                # Bytes that wait in the kernel during a black hole arrive afterwards, as TCP does.
                await self.proxy.flowing.wait()
                data = await reader.read(_CHUNK)
                await self.proxy.flowing.wait()
                await line.put((self.proxy.due(), data))
                if not data:
                    return

    async def _write(self, line: asyncio.Queue[tuple[float, bytes]], to: Side) -> None:
        writer = self.writers[to]
        while True:
            due, data = await line.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            await self.proxy.flowing.wait()
            await self.proxy.towards[to].wait()
            if not data:
                self.finish(to)
                return
            if to not in self._finished:
                writer.write(data)
                await writer.drain()
            await asyncio.sleep(self.proxy.seconds_for(len(data)))


class FaultProxy:
    """Forward 127.0.0.1:`port` to a target; passes until told otherwise."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self._target = host, port
        self._dice = random.Random(seed)
        self._delay = 0.0
        self._jitter = 0.0
        self._bytes_per_second = 0.0
        self._links: set[_Link] = set()
        self.connections = 0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.towards = {side: asyncio.Event() for side in Side}
        for gate in self.towards.values():
            gate.set()
        self._thread = LoopThread("proxy")
        server = self._thread.run(self._listen(0))
        self.port: int = server.sockets[0].getsockname()[1]
        self._server: asyncio.Server | None = server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url_for(self, url: str) -> str:
        """Return a URL of the target rewritten to go through this proxy."""
        parts = urlsplit(url)
        account = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{account}127.0.0.1:{self.port}"))

    def pass_through(self) -> None:
        """Heal: listen, forward, without delay."""
        self.slow()
        self._thread.call(self.flowing.set)
        for gate in self.towards.values():
            self._thread.call(gate.set)
        if self._server is None:
            self._server = self._thread.run(self._listen(self.port))

    def slow(self, delay: float = 0.0, jitter: float = 0.0, bytes_per_second: float = 0.0) -> None:
        """Delay each chunk by seconds, plus up to `jitter`; limit each direction's speed."""
        self._delay, self._jitter, self._bytes_per_second = delay, jitter, bytes_per_second

    def black_hole(self) -> None:
        """Accept and keep connections open but forward nothing, not even a close."""
        self._thread.call(self.flowing.clear)

    def hold(self, towards: Side) -> None:
        """Keep back what goes to one side, until `pass_through`; the other direction flows."""
        self._thread.call(self.towards[towards].clear)

    def half_close(self, towards: Side) -> None:
        """Send FIN to one side of every connection; the other direction stays open."""
        self._thread.call(self._half_close, towards)

    def cut(self) -> None:
        """Cut every connection with RST on both sides; new ones are accepted."""
        self._thread.call(self._cut)

    def refuse(self) -> None:
        """Refuse new connections and cut the open ones, until `pass_through`."""
        if self._server is not None:
            self._thread.call(self._server.close)
            self._server = None
        self.cut()

    def close(self) -> None:
        """Cut everything and stop."""
        if not self._thread.loop.is_closed():
            self.refuse()
            self._thread.close()

    def due(self) -> float:
        """Return the loop time at which a chunk read now may be written."""
        return self._thread.loop.time() + self._delay + self._dice.random() * self._jitter

    def seconds_for(self, size: int) -> float:
        """Return how long so many bytes keep the line busy."""
        return size / self._bytes_per_second if self._bytes_per_second > 0 else 0.0

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=256)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(self, writer)
        self._links.add(link)
        try:
            await self.flowing.wait()
            far_reader, link.writers[Side.SERVER] = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(link.pump(reader, Side.SERVER))
                pumps.create_task(link.pump(far_reader, Side.CLIENT))
        except* OSError:
            _reset_both(link)
        finally:
            self._links.discard(link)
            for each in link.writers.values():
                each.close()

    def _half_close(self, towards: Side) -> None:
        for link in self._links:
            link.finish(towards)

    def _cut(self) -> None:
        for link in tuple(self._links):
            _reset_both(link)


def _reset_both(link: _Link) -> None:
    for writer in link.writers.values():
        reset(writer.transport)
