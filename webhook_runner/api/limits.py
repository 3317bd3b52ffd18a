"""How often each token may ask, and how long a request may take until it begins to be answered."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webhook_runner.api.body import BODY_SECONDS
from webhook_runner.api.gate import ALWAYS_OPEN, caller_of
from webhook_runner.api.problem import problem
from webhook_runner.policy.rate import TokenBucket, default_bucket

ANSWER_SECONDS = 30.0


class Pace:
    """The buckets of all tokens; ``rate`` is requests per second of each, infinity for no limit."""

    def __init__(self, rate: float, monotonic: Callable[[], float]) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._buckets: dict[str, TokenBucket] = {}

    def adopt(self, rate: float) -> None:
        """Change the rate of all; what is earned stays."""
        self._rate = rate
        for bucket in self._buckets.values():
            bucket.reconfigure(rate, default_bucket(rate), self._monotonic())

    def wait(self, name: str) -> float:
        """Take one request of ``name``; return 0, or the seconds until it may come again."""
        if math.isinf(self._rate):
            return 0.0
        now = self._monotonic()
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = TokenBucket(self._rate, default_bucket(self._rate), now)
        return 0.0 if bucket.take(now) else bucket.wait(now)


class PacedApp:
    """The ASGI application behind it is asked no more often than ``pace`` allows."""

    def __init__(self, app: ASGIApp, pace: Pace) -> None:
        self._app = app
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = 0.0
        if scope["type"] == "http" and scope["path"] not in ALWAYS_OPEN:
            seconds = self._pace.wait(caller_of(scope).name)
        if not seconds:
            await self._app(scope, receive, send)
            return
        after = {"Retry-After": str(max(1, math.ceil(seconds)))}
        answer = problem(429, "more requests than [api] rate allows", scope["path"], after)
        await answer(scope, receive, send)


class TimedApp:
    """The ASGI application behind it answers, or begins to, within ``seconds`` of the request.

    A body has ``BODY_SECONDS`` of its own to arrive.
    """

    def __init__(self, app: ASGIApp, seconds: float = ANSWER_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = asyncio.timeout(self._seconds)
        request = _Request(limit, self._seconds, receive, send)
        try:
            async with limit:
                await self._app(scope, request.receive, request.send)
        except TimeoutError:
            if request.has_begun:
                raise
            detail = f"not done within {self._seconds:g} s; it may be done all the same"
            await problem(503, detail, scope["path"])(scope, receive, send)


class _Request:
    """One request, whose limit moves with what comes and ends with what goes."""

    def __init__(
        self, limit: asyncio.Timeout, seconds: float, receive: Receive, send: Send
    ) -> None:
        self._limit = limit
        self._seconds = seconds
        self._receive = receive
        self._send = send
        self._now = asyncio.get_running_loop().time
        self.has_begun = False

    async def receive(self) -> Message:
        self._move(BODY_SECONDS + self._seconds)
        message = await self._receive()
        if not message.get("more_body", False):
            self._move(self._seconds)
        return message

    async def send(self, message: Message) -> None:
        if not self.has_begun:
            self._move(None)
            self.has_begun = True
        await self._send(message)

    def _move(self, seconds: float | None) -> None:
        if not self.has_begun:
            with suppress(RuntimeError):  # it is over in this very moment
                self._limit.reschedule(None if seconds is None else self._now() + seconds)
