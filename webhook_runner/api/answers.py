"""Answers as routes give them: JSON, and streams that are closed however they end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import msgspec
from fastapi import Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from webhook_runner.api.problem import OUR_ERRORS, document_of

NDJSON_TYPE = "application/x-ndjson"
FRESH = {"Cache-Control": "no-store"}
_FIRST_SECONDS = 5.0

T = TypeVar("T")

_encode = msgspec.json.Encoder(enc_hook=str).encode


def as_json(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer in JSON; it is of now, and not to be kept."""
    return Response(_encode(content), status, {**FRESH, **(headers or {})}, "application/json")


class Stream(StreamingResponse):
    """A stream whose source is closed with it, however it ends."""

    def __init__(
        self,
        source: AsyncGenerator[bytes, None],
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(source, headers={**FRESH, **(headers or {})}, media_type=media_type)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._source.aclose()


async def lines(
    source: AsyncGenerator[T, None],
    line: Callable[[T], object],
    last: Callable[[], object] | None = None,
) -> Stream:
    """Return an answer with one line of JSON for each item, and ``last`` at the end.

    What goes wrong at the beginning, or in its first five seconds, is raised and becomes a problem
    document; later it is the last line, as ``{"problem": ...}``.
    """
    first = asyncio.ensure_future(anext(source, None))
    try:
        await asyncio.wait((first,), timeout=_FIRST_SECONDS)
        if first.done():
            first.result()
    except BaseException:
        first.cancel()
        await _close(source)
        raise
    return Stream(_written(first, source, line, last), NDJSON_TYPE)


async def _written(
    first: "asyncio.Future[T | None]",
    source: AsyncGenerator[T, None],
    line: Callable[[T], object],
    last: Callable[[], object] | None,
) -> AsyncGenerator[bytes, None]:
    try:
        item = await first
        while item is not None:
            yield _encode(line(item)) + b"\n"
            item = await anext(source, None)
        if last is not None:
            yield _encode(last()) + b"\n"
    except OUR_ERRORS as error:
        yield _encode({"problem": document_of(error, "")}) + b"\n"
    finally:
        first.cancel()
        await _close(source)


async def _close(source: AsyncGenerator[T, None]) -> None:
    with suppress(RuntimeError):  # it is being asked at this moment, and cancelled
        await source.aclose()
