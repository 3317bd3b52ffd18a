"""The clients, one that blocks and one that is awaited: the only file here that speaks HTTP."""

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, Unpack

import httpx2

from webhook_runner import __version__
from webhook_runner.client.answer import Accepted, Rejected, Reply, Result, Unanswered
from webhook_runner.client.failure import InvalidTaskError
from webhook_runner.client.talk import Post, send_all
from webhook_runner.client.task import Sendable, Task, Wishes

USUAL_URL = "http://127.0.0.1:7676"

_CONNECT_SECONDS = 5.0
# Shorter than the daemon keeps an idle connection, so that none is used while it is closed.
_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=3.0)
_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class _Door:
    """Where the API is; ``address`` may be shown, for it holds no password."""

    address: str
    tasks: httpx2.URL
    headers: Mapping[str, str]
    tls: ssl.SSLContext

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str] | None, tls: ssl.SSLContext | None) -> Self:
        try:
            base = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise ValueError(f"{url!r} is no URL: {error}; write {USUAL_URL!r}") from error
        if base.scheme not in {"http", "https"} or not base.host:
            raise ValueError(f"{url!r} is no address of an HTTP API; write {USUAL_URL!r}")
        named = {"User-Agent": f"webhook_runner-client/{__version__}", **(headers or {})}
        secure = base.scheme == "https"
        # Reading the system's certificates takes longer than a request; http needs none.
        bare = ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        path = base.path.rstrip("/")
        return cls(
            str(base.copy_with(userinfo=b"", path=path, query=None)).rstrip("/"),
            base.copy_with(path=path + "/v1/tasks", query=None),
            {**named, "Content-Type": "application/json"},
            tls or bare,
        )

    def reply(self, response: httpx2.Response) -> Reply:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(self.address, response.status_code, headers, response.content)

    def silence(self, error: httpx2.RequestError) -> Unanswered:
        late = isinstance(error, httpx2.TimeoutException)
        why = "timed out" if late else str(error) or type(error).__name__
        if isinstance(error, _NEVER_SENT):
            return Unanswered(
                f"no daemon answers at {self.address} ({why}); start one with "
                "`webhook-runner serve`, or give the address of its [api] listen"
            )
        detail = f"{self.address} gave no answer ({why}); the tasks may have been taken"
        return Unanswered(detail, in_doubt=True)


class Client:
    """Sends tasks to a daemon, and blocks meanwhile. Threads may share one.

    A task without an id is given one, so that it has the same id when it is sent again.

    Args:
        url: of the daemon's HTTP API.
        timeout: seconds for which tasks are sent again when no daemon answers, an answer is
            lost, or the daemon asks to wait; 0 for one try. ``send_many`` has it anew for
            every array of at most 1000 tasks.
        headers: sent with every request, such as a token for a proxy before the daemon.
        tls: what to trust for https; else the certificates of the system.

    Raises:
        ValueError: ``url`` is no http or https URL.

    """

    def __init__(
        self,
        url: str = USUAL_URL,
        *,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._door = _Door.of(url, headers, tls)
        self._timeout = timeout
        self._http = httpx2.Client(
            trust_env=False, headers=self._door.headers, verify=self._door.tls, limits=_LIMITS
        )

    def send(self, task: str | Task, /, **wishes: Unpack[Wishes]) -> Accepted:
        """Send a task, given as one or as a url and its other fields; return its id and queue.

        Raises:
            InvalidTaskError: the task must be mended; field, reason and detail say how.
            ServiceUnavailableError: no daemon took it; ``unsent`` holds it with its id.
            UnexpectedAnswerError: what answers is not a daemon's API.

        """
        return _only(self.send_many([_task(task, wishes)]))

    def send_many(self, tasks: Iterable[Sendable]) -> list[Result]:
        """Send tasks in arrays of at most 1000; return what was said to each, in their order.

        A mapping is a message as the daemon reads it. An invalid task is a ``Rejected`` among
        the results and does not stop the others.

        Raises:
            ServiceUnavailableError: some got no answer; ``results`` and ``unsent`` tell which.
            UnexpectedAnswerError: what answers is not a daemon's API; likewise.

        """
        talk = send_all(tasks, self._timeout)
        try:
            post = next(talk)
            while True:
                post = talk.send(self._post(post))
        except StopIteration as end:
            results: list[Result] = end.value
            return results

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _post(self, post: Post) -> Reply | Unanswered:
        time.sleep(post.pause)
        try:
            response = self._http.post(
                self._door.tasks, content=post.body, timeout=_timeout(post.limit)
            )
        except httpx2.RequestError as error:
            return self._door.silence(error)
        return self._door.reply(response)


class AsyncClient:
    """The same as ``Client``, awaited: ``async with AsyncClient() as client``."""

    def __init__(
        self,
        url: str = USUAL_URL,
        *,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._door = _Door.of(url, headers, tls)
        self._timeout = timeout
        self._http = httpx2.AsyncClient(
            trust_env=False, headers=self._door.headers, verify=self._door.tls, limits=_LIMITS
        )

    async def send(self, task: str | Task, /, **wishes: Unpack[Wishes]) -> Accepted:
        """Send a task; see ``Client.send``."""
        return _only(await self.send_many([_task(task, wishes)]))

    async def send_many(self, tasks: Iterable[Sendable]) -> list[Result]:
        """Send tasks in arrays; see ``Client.send_many``."""
        talk = send_all(tasks, self._timeout)
        try:
            post = next(talk)
            while True:
                post = talk.send(await self._post(post))
        except StopIteration as end:
            results: list[Result] = end.value
            return results

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _post(self, post: Post) -> Reply | Unanswered:
        await asyncio.sleep(post.pause)
        try:
            response = await self._http.post(
                self._door.tasks, content=post.body, timeout=_timeout(post.limit)
            )
        except httpx2.RequestError as error:
            return self._door.silence(error)
        return self._door.reply(response)


def _timeout(limit: float) -> httpx2.Timeout:
    return httpx2.Timeout(limit, connect=min(limit, _CONNECT_SECONDS))


def _task(task: str | Task, wishes: Wishes) -> Task:
    return Task(url=task, **wishes) if isinstance(task, str) else replace(task, **wishes)


def _only(results: list[Result]) -> Accepted:
    (result,) = results
    if isinstance(result, Rejected):
        raise InvalidTaskError(result)
    return result
