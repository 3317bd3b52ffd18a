"""Tasks called off, run now, run again."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import Meta, Struct

from webhook_runner.api.answers import as_json
from webhook_runner.api.body import WISH_BYTES, Bodies
from webhook_runner.api.gate import caller_of
from webhook_runner.api.known import TaskId
from webhook_runner.api.problem import document_of
from webhook_runner.api.query import ANY_ID, Cancelling
from webhook_runner.api.schema import answers, body_of
from webhook_runner.api.task_views import TaskView, task_view
from webhook_runner.engine.task_control import CancelState, TaskControl

TaskName = Annotated[str, Meta(pattern=ANY_ID)]


ProblemBody = Annotated[Any, Meta(extra_json_schema={"$ref": "#/components/schemas/Problem"})]


class Cancelled(Struct, frozen=True):
    """`cancel_requested`: it may be running elsewhere, and ends as soon as that is known there."""

    id: str
    state: CancelState


class CancelMany(Struct, frozen=True, forbid_unknown_fields=True):
    ids: Annotated[list[TaskName], Meta(min_length=1, max_length=1000)]


class CancelResult(Struct, frozen=True, omit_defaults=True):
    id: str
    state: CancelState | None = None
    problem: ProblemBody = None


class CancelResults(Struct, frozen=True):
    """One for each id that was sent, in order."""

    results: list[CancelResult]


class NewRun(Struct, frozen=True):
    id: str
    run: int
    queue: str


_MANY = msgspec.json.Decoder(CancelMany)
CANCELLED = answers({200: Cancelled, 202: Cancelled}, 404, 409, 422)


async def cancel(control: TaskControl, task_id: str, wanted: Cancelling) -> Response:
    """Call a task off; 202 when it may be running still."""
    state = await control.cancel(task_id, force=wanted.force)
    return as_json(Cancelled(task_id, state), 202 if state is CancelState.REQUESTED else 200)


async def cancel_many(control: TaskControl, wanted: CancelMany, path: str) -> Response:
    """Call tasks off, each with its own answer."""
    found = await control.cancel_many(list(dict.fromkeys(wanted.ids)))
    results = []
    for task_id in wanted.ids:
        met = found[task_id]
        if isinstance(met, Exception):
            results.append(CancelResult(task_id, problem=document_of(met, path)))
        else:
            results.append(CancelResult(task_id, state=met))
    return as_json(CancelResults(results))


def steer_routes(control: TaskControl, bodies: Bodies) -> APIRouter:
    """Return the routes that change what becomes of tasks."""
    router = APIRouter(prefix="/v1", tags=["tasks"])
    _add_cancelling(router, control, bodies)
    _add_running(router, control)
    return router


def _add_cancelling(router: APIRouter, control: TaskControl, bodies: Bodies) -> None:
    @router.delete("/tasks/{task_id}", response_class=Response, responses=CANCELLED)
    async def cancel_task(task_id: TaskId, wanted: Annotated[Cancelling, Query()]) -> Response:
        """Call a task off, wherever it waits or runs."""
        return await cancel(control, task_id, wanted)

    @router.post(
        "/tasks/cancel",
        response_class=Response,
        responses=answers({200: CancelResults}, 400, 408, 413, 415, 422),
        openapi_extra=body_of(CancelMany),
    )
    async def cancel_tasks(request: Request) -> Response:
        """Call off up to 1000 tasks, each with its own answer."""
        wanted = await bodies.read_as(request, _MANY, 2 * WISH_BYTES)
        return await cancel_many(control, wanted, request.url.path)


def _add_running(router: APIRouter, control: TaskControl) -> None:
    @router.post(
        "/tasks/{task_id}/run",
        status_code=202,
        response_class=Response,
        responses=answers({202: TaskView}, 404, 409, 422, 501),
    )
    async def run_task(request: Request, task_id: TaskId) -> Response:
        """Run now what waits for its time."""
        record = await control.run_now(task_id)
        return as_json(task_view(record, whole=caller_of(request.scope).sees_all), 202)

    @router.post(
        "/tasks/{task_id}/replay",
        status_code=202,
        response_class=Response,
        responses=answers({202: NewRun}, 404, 409, 422, 501),
    )
    async def replay_task(task_id: TaskId) -> Response:
        """Run again what has ended, as a new run of the same id."""
        envelope = await control.replay(task_id)
        return as_json(NewRun(envelope.task.id, envelope.run, envelope.task.queue), 202)
