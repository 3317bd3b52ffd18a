"""taskqueue's way in: /tasks/push/ and /tasks/push/{id}, with the answers of /v1/tasks."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import Struct

from webhook_runner.api.known import LISTED, SHOWN, Known, TaskId
from webhook_runner.api.query import Cancelling, OneTask, TaskListing
from webhook_runner.api.schema import POST_TASKS, PUT_TASK, TAKEN
from webhook_runner.api.steer import CANCELLED, cancel
from webhook_runner.api.tasks import Taking
from webhook_runner.engine.task_control import TaskControl
from webhook_runner.errors import InvalidTaskError


class _Named(Struct, frozen=True):
    id: str | msgspec.UnsetType | None = msgspec.UNSET


_NAMED = msgspec.json.Decoder(_Named)


def named(body: bytes, task_id: str) -> bytes:
    """Return a message that has this id; every other byte of it stays.

    Raises:
        InvalidTaskError: it has another id.

    """
    try:
        own = _NAMED.decode(body).id
    except (ValueError, RecursionError):
        return body  # the intake says what is wrong with it
    if own == task_id:
        return body
    if own is not msgspec.UNSET:
        raise InvalidTaskError("bad_id", f"is {own!r:.100}, and in the path {task_id!r:.100}", "id")
    start = body.index(b"{") + 1
    rest = body[start:]
    comma = b"" if rest.lstrip().startswith(b"}") else b", "
    return body[:start] + b'"id": ' + msgspec.json.encode(task_id) + comma + rest


def alias_routes(taking: Taking, control: TaskControl) -> APIRouter:
    """Return the routes that taskqueue named in its time."""
    router = APIRouter(prefix="/tasks/push", tags=["taskqueue"])
    _add_taking(router, taking)
    _add_the_rest(router, control)
    return router


def _add_taking(router: APIRouter, taking: Taking) -> None:
    @router.api_route(
        "/", methods=["POST"], openapi_extra=POST_TASKS, responses=TAKEN, name="push_tasks"
    )
    @router.api_route(
        "/", methods=["PUT"], openapi_extra=POST_TASKS, responses=TAKEN, name="put_tasks"
    )
    async def push_tasks(request: Request) -> Response:
        """Do what POST /v1/tasks does."""
        return await taking.take(request)

    @router.api_route(
        "/{task_id}", methods=["POST"], openapi_extra=PUT_TASK, responses=TAKEN, name="push_task"
    )
    @router.api_route(
        "/{task_id}", methods=["PUT"], openapi_extra=PUT_TASK, responses=TAKEN, name="put_task"
    )
    async def push_task(request: Request, task_id: TaskId) -> Response:
        """Take one task under the id of the path."""
        return await taking.take(request, lambda body: named(body, task_id))


def _add_the_rest(router: APIRouter, control: TaskControl) -> None:
    known = Known(control)

    @router.get("/", response_class=Response, responses=LISTED)
    async def pushed_tasks(request: Request, wanted: Annotated[TaskListing, Query()]) -> Response:
        """Do what GET /v1/tasks does."""
        return await known.page(request, wanted)

    @router.get("/{task_id}", response_class=Response, responses=SHOWN)
    async def pushed_task(
        request: Request, task_id: TaskId, wanted: Annotated[OneTask, Query()]
    ) -> Response:
        """Do what GET /v1/tasks/{task_id} does."""
        return await known.one(request, task_id, wanted)

    @router.delete("/{task_id}", response_class=Response, responses=CANCELLED)
    async def cancel_pushed_task(
        task_id: TaskId, wanted: Annotated[Cancelling, Query()]
    ) -> Response:
        """Do what DELETE /v1/tasks/{task_id} does."""
        return await cancel(control, task_id, wanted)
