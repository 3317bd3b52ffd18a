"""Dead letters and invalid messages: listed, shown, exported, dropped, replayed."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from msgspec import Meta, Raw, Struct
from msgspec import field as struct_field

from webhook_runner.api.answers import NDJSON_TYPE, as_json, lines
from webhook_runner.api.aside_views import (
    AsideItem,
    AsidePage,
    Dropped,
    ReplayEnd,
    aside_item,
    replayed_line,
)
from webhook_runner.api.body import MOST_BYTES, Bodies
from webhook_runner.api.gate import caller_of
from webhook_runner.api.problem import problem
from webhook_runner.api.query import PLAIN, AsideListing, AsideParameters, Dropping, moment
from webhook_runner.api.queues import QueueName
from webhook_runner.api.schema import answers, body_of
from webhook_runner.engine.aside_control import AsideControl, AsideFilter, Replayed
from webhook_runner.errors import InvalidTaskError, UnknownTaskError
from webhook_runner.task.notice import Aside
from webhook_runner.values import parse_rate

Letter = Annotated[
    str, PathParameter(max_length=200, pattern=PLAIN, description="Names it within its queue.")
]
Words = str | Annotated[list[str], Meta(max_length=1000)]


class ReplayWish(Struct, frozen=True, forbid_unknown_fields=True):
    """Which ones, and how; one filter is needed, or `all`."""

    id: Words = ""
    letter: Words = ""
    reason: str = ""
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    url_prefix: str = ""
    since: str | float | None = None
    until: str | float | None = None
    all: bool = False
    rate: Annotated[
        str | None, Meta(description='No faster than this: "10/s". Null: as fast as it goes.')
    ] = None
    dry_run: Annotated[bool, Meta(description="Only tell which ones it would be.")] = False
    queue: Annotated[str, Meta(description="Where to instead of the queue they were for.")] = ""
    edit: Annotated[
        Raw,
        Meta(
            description="What to change in each message first: a merge patch (RFC 7396).",
            extra_json_schema={"type": ["object", "null"]},
        ),
    ] = struct_field(default_factory=Raw)


_WISH = msgspec.json.Decoder(ReplayWish)


def filter_of(wanted: AsideParameters) -> AsideFilter:
    """Return the filter that parameters name. Raises InvalidTaskError for a time that is none."""
    return AsideFilter(
        ids=frozenset(wanted.id.split(",") if wanted.id else ()),
        letters=frozenset(wanted.letter.split(",") if wanted.letter else ()),
        reason=wanted.reason,
        status=wanted.status,
        url_prefix=wanted.url_prefix,
        since=moment(wanted.since, "since"),
        until=moment(wanted.until, "until"),
    )


def filter_in(wanted: ReplayWish) -> AsideFilter:
    """Return the filter of a replay. Raises InvalidTaskError for a time that is none."""
    return AsideFilter(
        ids=_words(wanted.id),
        letters=_words(wanted.letter),
        reason=wanted.reason,
        status=wanted.status,
        url_prefix=wanted.url_prefix,
        since=moment(wanted.since, "since"),
        until=moment(wanted.until, "until"),
    )


def _words(given: str | Sequence[str]) -> frozenset[str]:
    words = given.split(",") if isinstance(given, str) else given
    return frozenset(word for word in words if word)


def _check_meant(wanted: AsideFilter, *, everything: bool) -> None:
    """Refuse to take no filter for all of them: it may be a slip."""
    if wanted == AsideFilter() and not everything:
        raise InvalidTaskError("missing_field", "name a filter, or say that all are meant", "all")


def _rate(text: str | None) -> float | None:
    try:
        return None if text in {None, "unlimited"} else parse_rate(text)
    except ValueError as error:
        raise InvalidTaskError("out_of_range", str(error), "rate") from None


def _edit(wish: ReplayWish) -> bytes | None:
    edit = bytes(wish.edit)
    if edit in {b"", b"null"}:
        return None
    if not edit.startswith(b"{"):
        raise InvalidTaskError("wrong_type", "must be an object or null", "edit")
    return edit


class _Tally:
    """How a replay goes."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._done = self._failed = 0

    def line(self, one: Replayed) -> object:
        if one.error:
            self._failed += 1
        else:
            self._done += 1
        return replayed_line(one)

    def end(self) -> object:
        return ReplayEnd(self._done, self._failed, self._done + self._failed, self._dry_run)


def aside_routes(aside: Aside, control: AsideControl, bodies: Bodies) -> APIRouter:
    """Return the routes of dead letters, or those of invalid messages; none needs a store."""
    router = APIRouter(prefix=f"/v1/queues/{{queue}}/{aside}", tags=[aside])
    word = aside.value
    _add_looking(router, aside, control, word)
    _add_showing(router, aside, control, word)
    _add_dropping(router, aside, control, word)
    _add_replaying(router, aside, control, bodies)
    return router


def _add_replaying(router: APIRouter, aside: Aside, control: AsideControl, bodies: Bodies) -> None:
    @router.post(
        "/replay",
        response_class=Response,
        responses=answers({200: NDJSON_TYPE}, 400, 404, 408, 413, 415, 422),
        openapi_extra=body_of(ReplayWish),
        name=f"replay_{aside}",
    )
    async def replay(request: Request, queue: QueueName) -> Response:
        """Make tasks of those that fit: a line for each as it goes, then how many it were."""
        wish = await bodies.read_as(request, _WISH, MOST_BYTES)
        wanted = filter_in(wish)
        _check_meant(wanted, everything=wish.all)
        tally = _Tally(dry_run=wish.dry_run)
        source = control.replay(
            aside,
            queue,
            wanted,
            rate=_rate(wish.rate),
            dry_run=wish.dry_run,
            edit=_edit(wish),
            to_queue=wish.queue,
        )
        return await lines(source, tally.line, tally.end)


def _add_looking(router: APIRouter, aside: Aside, control: AsideControl, word: str) -> None:
    @router.get(
        "",
        response_class=Response,
        responses=answers({200: AsidePage}, 404, 422),
        name=f"list_{word}",
    )
    async def list_aside(
        request: Request, queue: QueueName, wanted: Annotated[AsideListing, Query()]
    ) -> Response:
        """List what was put aside, oldest first."""
        found, following = await control.page(
            aside, queue, filter_of(wanted), wanted.limit, wanted.cursor
        )
        whole = caller_of(request.scope).sees_all
        return as_json(
            AsidePage([aside_item(each, whole=whole) for each in found], following or None)
        )

    @router.get(
        "/export",
        response_class=Response,
        responses=answers({200: NDJSON_TYPE}, 403, 404, 422),
        name=f"export_{word}",
    )
    async def export(
        request: Request, queue: QueueName, wanted: Annotated[AsideParameters, Query()]
    ) -> Response:
        """Give all that fit with their messages, one on each line."""
        caller = caller_of(request.scope)
        if not caller.sees_all:
            detail = f"the token {caller.name!r} has the role read, which sees no messages"
            return problem(403, detail, request.url.path)
        source = control.export(aside, queue, filter_of(wanted))
        return await lines(source, lambda each: aside_item(each, whole=True, shown=True))


def _add_showing(router: APIRouter, aside: Aside, control: AsideControl, word: str) -> None:
    @router.get(
        "/{letter}",
        response_class=Response,
        responses=answers({200: AsideItem}, 404, 422),
        name=f"get_{word}",
    )
    async def show(request: Request, queue: QueueName, letter: Letter) -> Response:
        """Show one, with its message."""
        found = await control.show(aside, queue, letter)
        return as_json(aside_item(found, whole=caller_of(request.scope).sees_all, shown=True))


def _add_dropping(router: APIRouter, aside: Aside, control: AsideControl, word: str) -> None:
    @router.delete(
        "",
        response_class=Response,
        responses=answers({200: Dropped}, 404, 422),
        name=f"drop_{word}",
    )
    async def drop_many(queue: QueueName, wanted: Annotated[Dropping, Query()]) -> Response:
        """Remove those that fit, for good."""
        chosen = filter_of(wanted)
        _check_meant(chosen, everything=wanted.all)
        return as_json(Dropped(await control.drop(aside, queue, chosen)))

    @router.delete(
        "/{letter}",
        response_class=Response,
        responses=answers({200: Dropped}, 404, 422),
        name=f"drop_one_{word}",
    )
    async def drop_one(queue: QueueName, letter: Letter) -> Response:
        """Remove one, for good."""
        dropped = await control.drop(aside, queue, AsideFilter(letters=frozenset({letter})))
        if not dropped:
            raise UnknownTaskError(f"nothing is called {letter[:100]!r} there")
        return as_json(Dropped(dropped))
