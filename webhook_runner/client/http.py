"""Requests that go out and answers that come back: the only file here that speaks HTTP."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Self, TypeVar

import httpx2

from webhook_runner import __version__
from webhook_runner.client.answer import Reply, Unanswered
from webhook_runner.client.ask import Ask, Talk
from webhook_runner.client.stream import Give, More, Open, Said, Story, advance

USUAL_URL = "http://127.0.0.1:7676"

_CONNECT_SECONDS = 5.0

T = TypeVar("T")


@cache
def _never_sent() -> tuple[type[Exception], ...]:
    return (
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.PoolTimeout,
        httpx2.ProxyError,
        httpx2.UnsupportedProtocol,
    )


@dataclass(frozen=True, slots=True)
class Door:
    """Where the API is; ``address`` may be shown, for it holds no password."""

    address: str
    base: "httpx2.URL"
    headers: Mapping[str, str]
    tls: ssl.SSLContext

    @classmethod
    def of(
        cls,
        url: str,
        token: str | None,
        headers: Mapping[str, str] | None,
        tls: ssl.SSLContext | None,
    ) -> Self:
        """Return the door at ``url``. Raises ValueError for what is no address or no token."""
        try:
            base = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise ValueError(f"{url!r} is no URL: {error}; write {USUAL_URL!r}") from error
        if base.scheme not in {"http", "https"} or not base.host:
            raise ValueError(f"{url!r} is no address of an HTTP API; write {USUAL_URL!r}")
        named = {"User-Agent": f"webhook_runner-client/{__version__}", **_bearer(token)}
        secure = base.scheme == "https"
        # Reading the system's certificates takes longer than a request; http needs none.
        bare = ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        path = base.path.rstrip("/")
        return cls(
            str(base.copy_with(userinfo=b"", path=path, query=None)).rstrip("/"),
            base.copy_with(path=path, query=None),
            {**named, **(headers or {})},
            tls or bare,
        )

    def request(self, http: "httpx2.Client | httpx2.AsyncClient", ask: Ask) -> "httpx2.Request":
        """Return what goes out."""
        path = self.base.raw_path.rstrip(b"/") + ask.target.encode()
        limit = None if ask.limit is None else min(ask.limit, _CONNECT_SECONDS)
        headers = {"Content-Type": "application/json"} if ask.body else {}
        return http.build_request(
            ask.method,
            self.base.copy_with(raw_path=path),
            content=ask.body or None,
            headers={**headers, **ask.headers},
            timeout=httpx2.Timeout(ask.limit, connect=limit or _CONNECT_SECONDS),
        )

    def reply(self, response: "httpx2.Response", content: bytes) -> Reply:
        """Return an answer in our words."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(self.address, response.status_code, headers, content)

    def silence(self, error: "httpx2.RequestError") -> Unanswered:
        """Return what it means that there is no answer."""
        late = isinstance(error, httpx2.TimeoutException)
        why = "timed out" if late else str(error) or type(error).__name__
        if isinstance(error, _never_sent()):
            return Unanswered(
                f"no daemon answers at {self.address} ({why}); start one with "
                "`webhook-runner serve`, or give the address of its [api] listen"
            )
        detail = f"{self.address} gave no answer ({why}); what was asked may have been done"
        return Unanswered(detail, in_doubt=True)


class _Stream:
    """The one answer of a story that is read in pieces."""

    def __init__(self, door: Door, http: "httpx2.Client") -> None:
        self._door = door
        self._http = http
        self._response: httpx2.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def meet(self, step: Ask | Open | More) -> Said:
        match step:
            case Open(ask):
                return self._open(ask)
            case Ask():
                return _answer(self._door, self._http, step)
            case More():
                return self._more()

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _open(self, ask: Ask) -> Reply | Unanswered:
        self.close()
        time.sleep(ask.pause)
        try:
            self._response = self._http.send(self._door.request(self._http, ask), stream=True)
            self._pieces = self._response.iter_bytes()
            done = self._response.is_success
            content = b"" if done else self._response.read()
        except httpx2.RequestError as error:
            return self._door.silence(error)
        return self._door.reply(self._response, content)

    def _more(self) -> bytes | Unanswered:
        try:
            return next(self._pieces, b"")
        except httpx2.RequestError as error:
            return self._door.silence(error)


class _AsyncStream:
    """The same as ``_Stream``, awaited."""

    def __init__(self, door: Door, http: "httpx2.AsyncClient") -> None:
        self._door = door
        self._http = http
        self._response: httpx2.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def meet(self, step: Ask | Open | More) -> Said:
        match step:
            case Open(ask):
                return await self._open(ask)
            case Ask():
                return await _answer_async(self._door, self._http, step)
            case More():
                return await self._more()

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None

    async def _open(self, ask: Ask) -> Reply | Unanswered:
        await self.close()
        await asyncio.sleep(ask.pause)
        try:
            request = self._door.request(self._http, ask)
            self._response = await self._http.send(request, stream=True)
            self._pieces = self._response.aiter_bytes()
            done = self._response.is_success
            content = b"" if done else await self._response.aread()
        except httpx2.RequestError as error:
            return self._door.silence(error)
        return self._door.reply(self._response, content)

    async def _more(self) -> bytes | Unanswered:
        if self._pieces is None:
            return b""
        try:
            return await anext(self._pieces, b"")
        except httpx2.RequestError as error:
            return self._door.silence(error)


class Line:
    """The requests of a client that blocks."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._http = httpx2.Client(
            trust_env=False, headers=door.headers, verify=door.tls, limits=_limits()
        )

    def have(self, talk: Talk[T]) -> T:
        """Have a talk, and return what it ends with."""
        try:
            ask = next(talk)
            while True:
                ask = talk.send(_answer(self._door, self._http, ask))
        except StopIteration as end:
            result: T = end.value
            return result

    def tell(self, story: Story[T]) -> Iterator[T]:
        """Give what a story gives, as it is asked for."""
        stream = _Stream(self._door, self._http)
        try:
            step = advance(story, None)
            while step is not None:
                said: Said = None
                if isinstance(step, Give):
                    yield step.value
                else:
                    said = stream.meet(step)
                step = advance(story, said)
        finally:
            stream.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncLine:
    """The same as ``Line``, awaited."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._http = httpx2.AsyncClient(
            trust_env=False, headers=door.headers, verify=door.tls, limits=_limits()
        )

    async def have(self, talk: Talk[T]) -> T:
        """Have a talk; see ``Line.have``."""
        try:
            ask = next(talk)
            while True:
                ask = talk.send(await _answer_async(self._door, self._http, ask))
        except StopIteration as end:
            result: T = end.value
            return result

    async def tell(self, story: Story[T]) -> AsyncIterator[T]:
        """Give what a story gives; see ``Line.tell``."""
        stream = _AsyncStream(self._door, self._http)
        try:
            step = advance(story, None)
            while step is not None:
                said: Said = None
                if isinstance(step, Give):
                    yield step.value
                else:
                    said = await stream.meet(step)
                step = advance(story, said)
        finally:
            await stream.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _answer(door: Door, http: "httpx2.Client", ask: Ask) -> Reply | Unanswered:
    time.sleep(ask.pause)
    try:
        response = http.send(door.request(http, ask))
    except httpx2.RequestError as error:
        return door.silence(error)
    return door.reply(response, response.content)


async def _answer_async(door: Door, http: "httpx2.AsyncClient", ask: Ask) -> Reply | Unanswered:
    await asyncio.sleep(ask.pause)
    try:
        response = await http.send(door.request(http, ask))
    except httpx2.RequestError as error:
        return door.silence(error)
    return door.reply(response, response.content)


def _limits() -> "httpx2.Limits":
    # Shorter than the daemon keeps an idle connection, so that none is used while it is closed.
    return httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=3.0)


def _bearer(token: str | None) -> dict[str, str]:
    if token is None:
        return {}
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a token is ASCII letters, digits and signs, without spaces")
    return {"Authorization": f"Bearer {token}"}
