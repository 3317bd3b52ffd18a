"""Tasks by HTTP: POST /v1/tasks takes one or many and answers once the broker keeps them."""

import msgspec
from fastapi import APIRouter, Request, Response

from webhook_runner.api.body import Bodies, is_array, split
from webhook_runner.api.problem import RETRY_AFTER, Document, answer_problem, document, problem
from webhook_runner.api.schema import POST_TASKS, PROBLEM_ANSWERS
from webhook_runner.engine.duplicates import Duplicate
from webhook_runner.engine.intake import Answer, Intake, Unavailable
from webhook_runner.errors import ConflictError, InvalidTaskError
from webhook_runner.task.model import Envelope

PATH = "/v1/tasks"

# What is wrong with the whole body, not with a field of the task.
_UNREADABLE = frozenset({"not_json", "empty", "encoding"})

_NO_RECORD: dict[int | str, dict[str, str]] = {
    501: {"description": "This version keeps no record of tasks."}
}
_NEEDS_A_STORE = "needs a status store, which this version does not have; see task_id in the log"


def task_routes(intake: Intake) -> APIRouter:
    """Return the routes of tasks. Bodies are not parsed by the framework: they stay as written."""
    router = APIRouter(prefix="/v1", tags=["tasks"])
    bodies = Bodies()

    @router.post("/tasks", status_code=202, openapi_extra=POST_TASKS, responses=PROBLEM_ANSWERS)
    async def post_tasks(request: Request) -> Response:
        """Take one task, or an array of them; what is answered with 202 is kept by the broker."""
        traceparent = request.headers.get("traceparent", "")
        async with bodies.read(request, intake.max_message_bytes) as body:
            if is_array(body):
                return _answer_many(await intake.accept_many(split(body), "", traceparent))
            (answer,) = await intake.accept_many([body], "", traceparent)
        return _answer_one(answer)

    @router.get("/tasks", status_code=501, responses=_NO_RECORD)
    async def list_tasks() -> Response:
        """Answer 501: there is no list of tasks but the log."""
        return problem(501, _NEEDS_A_STORE, PATH)

    @router.get(
        "/tasks/{task_id}",
        status_code=501,
        responses=_NO_RECORD,
    )
    async def get_task(task_id: str) -> Response:
        """Answer 501: nothing is known of a task but what the log tells."""
        return problem(501, _NEEDS_A_STORE, f"{PATH}/{task_id}")

    return router


def _answer_one(answer: Answer) -> Response:
    if isinstance(answer, Envelope):
        task = answer.task
        content = msgspec.json.encode({"id": task.id, "queue": task.queue})
        where = {"Location": f"{PATH}/{task.id}"}
        return Response(content, 202, where, media_type="application/json")
    if isinstance(answer, Duplicate):
        known = {"id": answer.id, "queue": answer.queue, "duplicate": True}
        where = {"Location": f"{PATH}/{answer.id}"}
        return Response(msgspec.json.encode(known), 200, where, media_type="application/json")
    return answer_problem(_problem_of(answer, alone=True))


def _answer_many(answers: list[Answer]) -> Response:
    """Answer 202 when any was taken; else 503 when any may be taken later."""
    results = [_result(answer) for answer in answers]
    found = {result["status"] for result in results}
    status = next(each for each in (202, 503, 200, 409, 422) if each in found)
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else None  # noqa: PLR2004 - HTTP
    content = msgspec.json.encode({"results": results})
    return Response(content, status, headers, media_type="application/json")


def _result(answer: Answer) -> Document:
    if isinstance(answer, Envelope):
        task = answer.task
        taken: Document = {"status": 202, "id": task.id, "queue": task.queue}
        return taken | {"location": f"{PATH}/{task.id}"}
    if isinstance(answer, Duplicate):
        known: Document = {"status": 200, "id": answer.id, "queue": answer.queue}
        return known | {"location": f"{PATH}/{answer.id}", "duplicate": True}
    about = _problem_of(answer, alone=False)
    return {"status": about["status"], "problem": about}


def _problem_of(error: InvalidTaskError | ConflictError | Unavailable, *, alone: bool) -> Document:
    if isinstance(error, Unavailable):
        return document(503, str(error), PATH)
    if isinstance(error, ConflictError):
        return document(409, str(error), PATH)
    status = 422
    if alone and error.reason in _UNREADABLE:
        status = 400
    elif alone and error.reason == "too_large":
        status = 413
    detail = str(error).removeprefix(f"{error.field}: ") if error.field else str(error)
    errors = [{"field": error.field, "reason": error.reason, "detail": detail}]
    return document(status, str(error), PATH, errors)
