"""Destinations: how they stand; left alone, or called again, because a person says so."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi import Path as PathParameter
from msgspec import Meta, Struct

from webhook_runner.api.answers import as_json
from webhook_runner.api.query import DESTINATION, Closing, DestinationListing
from webhook_runner.api.schema import answers
from webhook_runner.api.task_views import Time, instant
from webhook_runner.engine.destination import Standing, State
from webhook_runner.engine.destination_control import DestinationControl

DestinationName = Annotated[
    str,
    PathParameter(max_length=262, pattern=DESTINATION, description="Such as example.com:443."),
]


class DestinationBody(Struct, frozen=True):
    """A host and port, as this daemon sees it."""

    destination: str
    state: State
    until: Annotated[Time | None, Meta(description="When it is called again, if that is known.")]
    requests: Annotated[int, Meta(description="Within the window of the breaker.")]
    failures: Annotated[int, Meta(description="The same, of those that failed.")]
    held: Annotated[int, Meta(description="Tasks sent away for its sake that are not back yet.")]
    forced: Annotated[bool, Meta(description="A person has decided on its state.")]


class DestinationList(Struct, frozen=True):
    items: list[DestinationBody]
    next: Annotated[str | None, Meta(description="`cursor` of the next page.")]


_ONE = answers({200: DestinationBody}, 422)


def destination_routes(control: DestinationControl) -> APIRouter:
    """Return the routes of destinations; none needs a store."""
    router = APIRouter(prefix="/v1/destinations", tags=["destinations"])

    @router.get("", response_class=Response, responses=answers({200: DestinationList}, 422))
    async def list_destinations(wanted: Annotated[DestinationListing, Query()]) -> Response:
        """List the destinations that this daemon has called lately, by name."""
        state = State(wanted.state) if wanted.state else None
        found, following = await control.page(state, wanted.limit, wanted.cursor)
        items = [destination_body(each) for each in found]
        return as_json(DestinationList(items, following or None))

    @router.post("/{destination}/open", response_class=Response, responses=_ONE)
    async def open_destination(destination: DestinationName) -> Response:
        """Call it no more, on all daemons, until it is closed."""
        return as_json(destination_body(await control.open(destination)))

    @router.post("/{destination}/close", response_class=Response, responses=_ONE)
    async def close_destination(
        destination: DestinationName, wanted: Annotated[Closing, Query()]
    ) -> Response:
        """Call it again, on all daemons, and forget what it did before."""
        return as_json(destination_body(await control.close(destination, keep=wanted.keep)))

    return router


def destination_body(standing: Standing) -> DestinationBody:
    return DestinationBody(
        destination=standing.name,
        state=standing.state,
        until=instant(standing.until),
        requests=standing.requests,
        failures=standing.failures,
        held=standing.held,
        forced=standing.forced,
    )
