"""A real HTTP/1.1 server on 127.0.0.1 that records requests and answers by a script."""

import asyncio
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from tests.parts.http_connection import HttpConnection, Received
from tests.parts.loop_thread import LoopThread
from tests.parts.watch import Watch


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer: after `delay` seconds; `hang` until released; `reset` by RST instead."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    hang: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived, complete with its body."""

    arrived_monotonic: float
    arrived_at: float
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    def header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header, whatever the case of its name."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), default)

    def json(self) -> object:
        """Return the body as JSON."""
        return json.loads(self.body)


Script = Sequence[Answer] | Callable[[Request], Answer]


class Receiver:
    """The server; usable from plain and async tests, for it has a thread and a loop of its own."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        scripts: Mapping[str, Script] = MappingProxyType({}),
    ) -> None:
        self.requests: list[Request] = []
        self.aborted: list[Request] = []
        self.in_flight = 0
        self.peak_in_flight = 0
        # From the first request on: whoever knows the port may be faster than a later script.
        self._scripts = dict(scripts)
        self._used: Counter[str] = Counter()
        self._arrived: Counter[str] = Counter()
        self._hanging: list[tuple[str, Callable[[], None]]] = []
        self._released: set[str | None] = set()
        self._lock = threading.Lock()
        self._watch = Watch()
        self._connections = 0
        self._open: set[HttpConnection] = set()
        self._thread = LoopThread("receiver")
        self._server = self._thread.run(self._listen(tls, port))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connected(self) -> int:
        """How many connections are open, idle ones too."""
        return len(self._open)

    def close(self) -> None:
        """Stop listening and cut every connection."""
        if not self._thread.loop.is_closed():
            self._thread.call(self._shut)
            self._thread.close()

    def script(self, path: str, answers: Script) -> None:
        """Answer a path by a list in order, the last repeating, or by a function of the request.

        A path without a script is answered 200 with no body.
        """
        with self._lock:
            self._scripts[path] = answers
            self._used[path] = 0

    def release(self, path: str | None = None) -> None:
        """Let hanging answers go, those of one path or all, and from now on hang no more there."""
        with self._lock:
            self._released.add(path)
            due = [go for where, go in self._hanging if path in {None, where}]
            self._hanging = [each for each in self._hanging if path not in {None, each[0]}]
        for go in due:
            self._thread.loop.call_soon_threadsafe(go)

    def hold(self) -> None:
        """Take every earlier `release` back: answers that hang do so again."""
        with self._lock:
            self._released.clear()

    def received(self, path: str | None = None) -> list[Request]:
        """Return the requests so far, of one path or all."""
        return [request for request in self.requests if path in {None, request.path}]

    def wait_for(self, count: int, path: str | None = None, timeout: float = 10.0) -> list[Request]:
        """Block until so many requests have arrived, and return them. Raises TimeoutError."""
        self._watch.until(lambda: self._has(count, path), timeout, self._summary)
        return self.received(path)

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10.0) -> None:
        """Block until a predicate over this receiver holds; asked at each arrival and answer."""
        self._watch.until(predicate, timeout, self._summary)

    async def wait_for_async(
        self,
        count: int,
        path: str | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109 - the same signature as `wait_for`
    ) -> list[Request]:
        """Like `wait_for`, awaited."""
        await self._watch.until_async(lambda: self._has(count, path), timeout, self._summary)
        return self.received(path)

    async def wait_until_async(
        self,
        predicate: Callable[[], bool],
        timeout: float = 10.0,  # noqa: ASYNC109 - the same signature as `wait_until`
    ) -> None:
        """Like `wait_until`, awaited."""
        await self._watch.until_async(predicate, timeout, self._summary)

    def _has(self, count: int, path: str | None) -> bool:
        return (len(self.requests) if path is None else self._arrived[path]) >= count

    def _summary(self) -> str:
        return f"arrived so far: {dict(self._arrived)}"

    async def _listen(self, tls: ssl.SSLContext | None, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._connect, "127.0.0.1", port, ssl=tls, backlog=1024)

    def _connect(self) -> HttpConnection:
        self._connections += 1
        return HttpConnection(self._connections, self._open, self._arrive)

    def _shut(self) -> None:
        self._server.close()
        for connection in tuple(self._open):
            connection.reset()

    def _arrive(self, connection: HttpConnection, raw: Received) -> None:
        path, _, query = raw.target.partition("?")
        request = Request(
            time.monotonic(),
            time.time(),
            raw.method,
            path,
            query,
            raw.headers,
            raw.body,
            connection.number,
        )
        answer = self._choose(request)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.requests.append(request)
        self._arrived[path] += 1
        self._watch.stir()
        self._schedule(connection, request, answer)

    def _choose(self, request: Request) -> Answer:
        with self._lock:
            script = self._scripts.get(request.path, ())
            if callable(script):
                return script(request)
            position = self._used[request.path]
            self._used[request.path] += 1
        return script[min(position, len(script) - 1)] if script else Answer()

    def _schedule(self, connection: HttpConnection, request: Request, answer: Answer) -> None:
        def go() -> None:
            if answer.delay > 0:
                self._thread.loop.call_later(
                    answer.delay, self._answer, connection, request, answer
                )
            else:
                self._answer(connection, request, answer)

        with self._lock:
            if answer.hang and not self._released & {None, request.path}:
                self._hanging.append((request.path, go))
                connection.on_lost = lambda: self._lose(request)
                return
        connection.on_lost = lambda: self._lose(request)
        go()

    def _lose(self, request: Request) -> None:
        self.in_flight -= 1
        self.aborted.append(request)
        self._watch.stir()

    def _answer(self, connection: HttpConnection, request: Request, answer: Answer) -> None:
        if connection.lost:
            return
        connection.on_lost = None
        self.in_flight -= 1
        if answer.reset:
            connection.reset()
        else:
            connection.respond(answer.status, answer.headers, answer.body, request.method)
        self._watch.stir()
