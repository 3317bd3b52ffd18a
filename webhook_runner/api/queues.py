"""Queues: what lies in them; paused, resumed, limited and emptied while the daemon runs."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from webhook_runner.api.answers import as_json
from webhook_runner.api.body import WISH_BYTES, Bodies
from webhook_runner.api.query import PLAIN, Purging
from webhook_runner.api.queue_views import (
    PurgedBody,
    QueueBody,
    QueueList,
    limit_schema,
    queue_body,
)
from webhook_runner.api.schema import answers, body_of
from webhook_runner.engine.queue_control import QueueControl
from webhook_runner.errors import InvalidTaskError

QueueName = Annotated[
    str, PathParameter(max_length=100, pattern=PLAIN, description="The name of a queue.")
]
_LIMITS = msgspec.json.Decoder(dict[str, object])
_ONE = answers({200: QueueBody}, 404, 422)


def queue_routes(control: QueueControl, bodies: Bodies) -> APIRouter:
    """Return the routes of queues; none needs a store."""
    router = APIRouter(prefix="/v1/queues", tags=["queues"])
    _add_looking(router, control)
    _add_pausing(router, control)
    _add_changing(router, control, bodies)
    return router


def _add_looking(router: APIRouter, control: QueueControl) -> None:
    @router.get("", response_class=Response, responses=answers({200: QueueList}))
    async def list_queues() -> Response:
        """List all queues."""
        return as_json(QueueList([queue_body(each) for each in await control.queues()]))

    @router.get("/{queue}", response_class=Response, responses=_ONE)
    async def get_queue(queue: QueueName) -> Response:
        """Tell how a queue is."""
        return as_json(queue_body(await control.queue(queue)))


def _add_pausing(router: APIRouter, control: QueueControl) -> None:
    @router.post("/{queue}/pause", response_class=Response, responses=_ONE)
    async def pause_queue(queue: QueueName) -> Response:
        """Start nothing more of a queue, on all daemons, until it is resumed."""
        return as_json(queue_body(await control.pause(queue)))

    @router.post("/{queue}/resume", response_class=Response, responses=_ONE)
    async def resume_queue(queue: QueueName) -> Response:
        """Let a queue go on."""
        return as_json(queue_body(await control.resume(queue)))


def _add_changing(router: APIRouter, control: QueueControl, bodies: Bodies) -> None:
    @router.patch(
        "/{queue}",
        response_class=Response,
        responses=answers({200: QueueBody}, 400, 404, 408, 413, 415, 422),
        openapi_extra=body_of(limit_schema()),
    )
    async def change_queue(request: Request, queue: QueueName) -> Response:
        """Change limits of a queue on all daemons; null takes one back to the file's."""
        limits = await bodies.read_as(request, _LIMITS, WISH_BYTES)
        if not limits:
            raise InvalidTaskError("missing_field", "name a limit to change")
        return as_json(queue_body(await control.change(queue, limits)))

    @router.post(
        "/{queue}/purge",
        response_class=Response,
        responses=answers({200: PurgedBody}, 404, 422, 501),
    )
    async def purge_queue(queue: QueueName, wanted: Annotated[Purging, Query()]) -> Response:
        """Remove every task that is ready; what is in hand is finished."""
        purged = await control.purge(queue, scheduled=wanted.scheduled)
        return as_json(PurgedBody(purged.ready, purged.scheduled))
