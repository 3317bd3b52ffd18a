"""Tasks by HTTP: POST /v1/tasks takes one or many and answers once the broker keeps them."""

import re
from collections.abc import Callable, Sequence

from fastapi import APIRouter, Request, Response

from webhook_runner.api.answers import as_json
from webhook_runner.api.body import Bodies, is_array, split
from webhook_runner.api.problem import RETRY_AFTER, Document, answer_problem, document_of
from webhook_runner.api.schema import IDEMPOTENCY_KEY, POST_TASKS, TAKEN
from webhook_runner.engine.duplicates import Duplicate
from webhook_runner.engine.intake import Answer, Intake
from webhook_runner.errors import InvalidTaskError, NoStoreError
from webhook_runner.task.model import Envelope

PATH = "/v1/tasks"


# Printable, so that it can be told in every log and kept by every store.
_KEY = re.compile(IDEMPOTENCY_KEY)


class Taking:
    """Takes the tasks of a request. Bodies stay as they were written."""

    def __init__(self, intake: Intake, bodies: Bodies) -> None:
        self._intake = intake
        self._bodies = bodies

    async def take(
        self, request: Request, named: Callable[[bytes], bytes] | None = None
    ) -> Response:
        """Take one task, or an array of them; ``named`` may give one its id first.

        Raises:
            HTTPException: the body cannot be read.
            InvalidTaskError: the key is none, or the id another one.

        """
        key = _key(request)
        most = self._intake.max_message_bytes
        async with self._bodies.read(request, most, "max_message_bytes") as body:
            if is_array(body) and named is None:
                return _answer_many(await self._accept_many(request, split(body), key))
            one = body if named is None else named(body)
            (answer,) = await self._accept(request, [one], [key])
        return _answer_one(answer)

    async def _accept_many(self, request: Request, bodies: list[bytes], key: str) -> list[Answer]:
        keys = [f"{key}:{number}" for number in range(len(bodies))] if key else []
        return await self._accept(request, bodies, keys)

    async def _accept(
        self, request: Request, bodies: list[bytes], keys: Sequence[str]
    ) -> list[Answer]:
        if any(keys) and not self._intake.knows_duplicates:
            raise NoStoreError("an Idempotency-Key is kept in a store: set [store] url")
        traceparent = request.headers.get("traceparent", "")
        return await self._intake.accept_many(bodies, "", traceparent, keys)


def _key(request: Request) -> str:
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        text = "has 1 to 200 printable characters of ASCII, no spaces"
        raise InvalidTaskError("wrong_value", text, "Idempotency-Key")
    return key


def task_routes(taking: Taking) -> APIRouter:
    """Return the route by which tasks come in."""
    router = APIRouter(prefix="/v1", tags=["tasks"])

    @router.post("/tasks", status_code=202, openapi_extra=POST_TASKS, responses=TAKEN)
    async def post_tasks(request: Request) -> Response:
        """Take one task, or an array of them; what is answered with 202 is kept by the broker."""
        return await taking.take(request)

    return router


def _answer_one(answer: Answer) -> Response:
    if isinstance(answer, Envelope):
        task = answer.task
        return as_json({"id": task.id, "queue": task.queue}, 202, {"Location": f"{PATH}/{task.id}"})
    if isinstance(answer, Duplicate):
        known = {"id": answer.id, "queue": answer.queue, "duplicate": True}
        return as_json(known, 200, {"Location": f"{PATH}/{answer.id}"})
    return answer_problem(document_of(answer, PATH))


def _answer_many(answers: list[Answer]) -> Response:
    """Answer 202 when any was taken; else 503 when any may be taken later."""
    results = [_result(answer) for answer in answers]
    found = {result["status"] for result in results}
    status = next(each for each in (202, 503, 200, 409, 422) if each in found)
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else None  # noqa: PLR2004 - HTTP
    return as_json({"results": results}, status, headers)


def _result(answer: Answer) -> Document:
    if isinstance(answer, Envelope):
        task = answer.task
        taken: Document = {"status": 202, "id": task.id, "queue": task.queue}
        return taken | {"location": f"{PATH}/{task.id}"}
    if isinstance(answer, Duplicate):
        known: Document = {"status": 200, "id": answer.id, "queue": answer.queue}
        return known | {"location": f"{PATH}/{answer.id}", "duplicate": True}
    about = document_of(answer, PATH, alone=False)
    return {"status": about["status"], "problem": about}
