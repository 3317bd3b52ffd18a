"""The body of a request that brings tasks: read within bounds, taken apart without changing it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from webhook_runner.errors import InvalidTaskError

T = TypeVar("T")

MOST_TASKS = 1000
MOST_BYTES = 16 * 1024 * 1024
"""How large an array of tasks may be; a single task has ``max_message_bytes``."""

IN_HAND_BYTES = 4 * MOST_BYTES
BODY_SECONDS = 30.0
"""How long a body may take to arrive: a sender that dawdles must not hold a connection for ever."""

WISH_BYTES = 65_536
"""How large the body of a request may be that brings no task."""

_TOO_LARGE = f"a request has at most {MOST_BYTES} bytes; send several"
_ARRAY = re.compile(rb"[ \t\n\r]*\[")
_JSON = re.compile(r"application/(?:[\w.!#$&^-]+\+)?json", re.IGNORECASE)
_SINGLE = ("Content-Type", "Content-Encoding", "Idempotency-Key")
_UTF8 = frozenset({"utf-8", "utf8"})
# With fewer commas than this, the items of an array cannot be so many that it matters.
_COMMAS = 100_000
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


class _Anything(msgspec.Struct, gc=False):
    """An object of which nothing is read: counts them at little cost."""


_OBJECTS = msgspec.json.Decoder(list[_Anything])


class Bodies:
    """Reads bodies; all that are in hand at one time stay within ``IN_HAND_BYTES``."""

    def __init__(self) -> None:
        self._in_hand = 0

    async def read_as(self, request: Request, decoder: msgspec.json.Decoder[T], most: int) -> T:
        """Return the body as what ``decoder`` makes of it; it has at most ``most`` bytes.

        Raises:
            HTTPException: as for ``read``.
            InvalidTaskError: it is no JSON, or not what is asked for here; says what.

        """
        async with self.read(request, most) as body:
            if len(body) > most:
                raise HTTPException(413, f"at most {most} bytes are read here")
            try:
                return decoder.decode(body)
            except msgspec.ValidationError as error:
                why, _, place = str(error).partition(" - at `$")
                field = place.strip(".`")[:100]
                raise InvalidTaskError("wrong_value", why, field) from None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise InvalidTaskError("not_json", f"the body is no JSON: {error}") from None

    @asynccontextmanager
    async def read(
        self, request: Request, most_for_one: int, setting: str = ""
    ) -> AsyncIterator[bytes]:
        """Give the body of ``request``; one that is no array has ``most_for_one`` bytes.

        ``setting`` names what says so.

        Raises:
            HTTPException: it is no JSON by its headers (415), too large (413), too slow (408),
                broke off (400), or too much is being sent at once (503).

        """
        check_headers(request)
        body = bytearray()
        try:
            await self._fill(body, request.stream(), most_for_one, setting)
            yield bytes(body)
        finally:
            self._in_hand -= len(body)

    async def _fill(
        self, body: bytearray, chunks: AsyncIterator[bytes], most_for_one: int, setting: str
    ) -> None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                try:
                    async for chunk in chunks:
                        body += chunk
                        self._in_hand += len(chunk)
                        self._check_size(body, most_for_one, setting)
                except HTTPException:
                    await _pass_over(chunks)
                    raise
        except TimeoutError:
            raise HTTPException(408, f"no whole body within {BODY_SECONDS:g} s") from None
        except ClientDisconnect:
            raise HTTPException(400, "the body broke off") from None

    def _check_size(self, body: bytearray, most_for_one: int, setting: str) -> None:
        if self._in_hand > IN_HAND_BYTES:
            raise HTTPException(503, "too much is being sent at once; come again")
        if len(body) > most_for_one and not is_array(body):
            said = f"{setting} = {most_for_one}" if setting else str(most_for_one)
            raise HTTPException(413, f"at most {said} bytes are read here")
        if len(body) > MOST_BYTES:
            raise HTTPException(413, _TOO_LARGE)


async def _pass_over(chunks: AsyncIterator[bytes]) -> None:
    """Let the rest arrive, within bounds: who is cut off while sending does not see the answer."""
    passed = 0
    async for chunk in chunks:
        passed += len(chunk)
        if passed > MOST_BYTES:
            return


def check_headers(request: Request) -> None:
    """Refuse what its headers say we could not read. Raises HTTPException (400, 415, 413)."""
    for name in _SINGLE:
        if len(request.headers.getlist(name)) > 1:
            raise HTTPException(400, f"the header {name} is there twice")
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters, re.IGNORECASE)
    if (kind and not _JSON.fullmatch(kind.strip())) or (
        charset and charset[1].lower() not in _UTF8
    ):
        detail = "send JSON in UTF-8, with the header Content-Type: application/json"
        raise HTTPException(415, detail, {"Accept": "application/json"})
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "send it without an encoding", {"Accept-Encoding": "identity"})
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MOST_BYTES:
        raise HTTPException(413, _TOO_LARGE)


def is_array(body: bytes | bytearray) -> bool:
    """Whether the first character that is no space opens an array."""
    return _ARRAY.match(body) is not None


def split(body: bytes) -> list[bytes]:
    """Return the items of a JSON array, each as the exact bytes it was written with.

    Raises:
        HTTPException: it is malformed (400), or has no items or too many of them (422).

    """
    try:
        if body.count(b",") > _COMMAS:
            _check_number(len(_OBJECTS.decode(body)))
        items = _ITEMS.decode(body)
    except msgspec.ValidationError as error:
        raise HTTPException(422, f"not all items are objects: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise HTTPException(400, f"the body is no JSON array: {error}") from None
    _check_number(len(items))
    return [bytes(item) for item in items]


def _check_number(found: int) -> None:
    if not 1 <= found <= MOST_TASKS:
        detail = f"an array has 1 to {MOST_TASKS} tasks, not {found}"
        raise HTTPException(422, detail)
