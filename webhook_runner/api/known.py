"""What is known of tasks: one, many, their attempts, and what happens to them as it happens."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from msgspec import Struct

from webhook_runner.api.answers import as_json
from webhook_runner.api.events import EventHub, Wish
from webhook_runner.api.gate import caller_of
from webhook_runner.api.problem import problem
from webhook_runner.api.query import (
    ANY_ID,
    Hearing,
    OfRun,
    OneTask,
    TaskListing,
    moment,
    states_of,
)
from webhook_runner.api.schema import answers
from webhook_runner.api.stream import (
    EVENTS_TYPE,
    all_events,
    event_stream,
    last_event_id,
    task_events,
)
from webhook_runner.api.task_views import AttemptView, TaskView, attempt_view, task_view
from webhook_runner.engine.task_control import TaskControl
from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.record import TaskQuery

TaskId = Annotated[str, PathParameter(pattern=ANY_ID, description="The id of a task.")]


class TaskList(Struct, frozen=True):
    """A page of runs, youngest first; `next` is the cursor of the following one, or null."""

    items: list[TaskView]
    next: str | None


class AttemptList(Struct, frozen=True):
    items: list[AttemptView]
    next: None = None


LISTED = answers({200: TaskList}, 422, 501)
SHOWN = answers({200: TaskView}, 403, 404, 422, 501)


class Known:
    """Answers what is asked about tasks."""

    def __init__(self, control: TaskControl) -> None:
        self._control = control

    async def page(self, request: Request, wanted: TaskListing) -> Response:
        query = TaskQuery(
            states=states_of(wanted.state),
            queue=wanted.queue,
            since=moment(wanted.since, "since"),
            until=moment(wanted.until, "until"),
            limit=wanted.limit,
            cursor=wanted.cursor,
        )
        try:
            found = await self._control.tasks(query)
        except ValueError as error:
            raise InvalidTaskError("bad_cursor", str(error) or "is none", "cursor") from None
        whole = caller_of(request.scope).sees_all
        views = [task_view(each, whole=whole) for each in found.tasks]
        return as_json(TaskList(views, found.next or None))

    async def one(self, request: Request, task_id: str, wanted: OneTask) -> Response:
        caller = caller_of(request.scope)
        if wanted.message and not caller.sees_all:
            detail = f"the token {caller.name!r} has the role read, which sees no messages"
            return problem(403, detail, request.url.path)
        record = await self._control.find(task_id, wanted.run)
        return as_json(task_view(record, whole=caller.sees_all, message=wanted.message))

    async def attempts(self, request: Request, task_id: str, run: int | None) -> Response:
        whole = caller_of(request.scope).sees_all
        found = await self._control.attempts(task_id, run)
        return as_json(AttemptList([attempt_view(each, whole=whole) for each in found]))


def known_routes(control: TaskControl, hub: EventHub) -> APIRouter:
    """Return the routes that only look. Without a store they answer 501."""
    router = APIRouter(prefix="/v1", tags=["tasks"])
    known = Known(control)

    @router.get("/tasks", response_class=Response, responses=LISTED)
    async def list_tasks(request: Request, wanted: Annotated[TaskListing, Query()]) -> Response:
        """List runs of tasks, youngest first."""
        return await known.page(request, wanted)

    @router.get("/tasks/{task_id}", response_class=Response, responses=SHOWN)
    async def get_task(
        request: Request, task_id: TaskId, wanted: Annotated[OneTask, Query()]
    ) -> Response:
        """Tell how a task is."""
        return await known.one(request, task_id, wanted)

    @router.get(
        "/tasks/{task_id}/attempts",
        response_class=Response,
        responses=answers({200: AttemptList}, 404, 422, 501),
    )
    async def get_attempts(
        request: Request, task_id: TaskId, wanted: Annotated[OfRun, Query()]
    ) -> Response:
        """List the attempts that have ended, in their order."""
        return await known.attempts(request, task_id, wanted.run)

    @router.get(
        "/tasks/{task_id}/events",
        response_class=Response,
        responses=answers({200: EVENTS_TYPE}, 404, 422, 501),
    )
    async def get_task_events(request: Request, task_id: TaskId) -> Response:
        """Tell how a task is and what happens to it, as server-sent events, until it has ended."""
        await control.find(task_id)
        whole = caller_of(request.scope).sees_all
        return event_stream(hub, task_events(hub, control, task_id, whole=whole))

    return router


def event_routes(hub: EventHub) -> APIRouter:
    """Return the route of everything that happens on this daemon."""
    router = APIRouter(prefix="/v1", tags=["events"])

    @router.get("/events", response_class=Response, responses=answers({200: EVENTS_TYPE}, 422))
    async def get_events(request: Request, wanted: Annotated[Hearing, Query()]) -> Response:
        """Tell what happens on this daemon, as server-sent events, from now on."""
        wish = Wish(queue=wanted.queue, states=states_of(wanted.state))
        after = last_event_id(request.headers.get("last-event-id"))
        return event_stream(hub, all_events(hub, wish, after))

    return router
