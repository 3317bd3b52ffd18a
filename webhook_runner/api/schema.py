"""What /openapi.json tells of tasks: the message from the model that reads it, and the answers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from webhook_runner.api.body import MOST_BYTES, MOST_TASKS
from webhook_runner.api.problem import PROBLEM_TYPE
from webhook_runner.task.fields import DEDUP_KEY, RollBackFields, TaskFields

_REF = "#/components/schemas/{model}"
_REF_OF_STRUCTS = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_STATUS = {"type": "integer"}

TASK: dict[str, Any] = TaskFields.model_json_schema(ref_template=_REF)
TASK.pop("$defs", None)
TASK["title"] = "Task"
TASK["additionalProperties"] = True
TASK["properties"]["roll_back"] = {
    "anyOf": [_TEXT, {"$ref": _REF.format(model="RollBack")}, {"type": "null"}],
    "description": "The call that undoes it, should it fail for good; a string is its url.",
}
TASK["properties"]["dedup"] = {
    "anyOf": [
        {"type": "boolean"},
        {
            "type": "object",
            "properties": {
                "key": {"type": "string", "pattern": DEDUP_KEY},
                "window": {"type": "number", "exclusiveMinimum": 0},
            },
        },
        {"type": "null"},
    ],
    "description": "Whether duplicates run: told by key, else by the id, for window seconds.",
}
TASK["properties"]["payload"] = {
    "description": "The body of the request: a string's characters, any other value as written."
}
TASK["properties"]["metadata"] = {"description": "Not sent; extensions and the log see it."}

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457; `errors` names the fields.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": _STATUS,
        "detail": _TEXT,
        "instance": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "reason", "detail"],
                "properties": {"field": _TEXT, "reason": _TEXT, "detail": _TEXT},
            },
        },
    },
}
ACCEPTED: dict[str, Any] = {
    "title": "Accepted",
    "type": "object",
    "required": ["id", "queue"],
    "properties": {"id": _TEXT, "queue": _TEXT, "duplicate": {"const": True}},
}
RESULTS: dict[str, Any] = {
    "title": "Results",
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "description": "One for each task, in order.",
            "items": {
                "type": "object",
                "required": ["status"],
                "properties": {
                    "status": {"enum": [200, 202, 409, 422, 503]},
                    "id": _TEXT,
                    "queue": _TEXT,
                    "location": _TEXT,
                    "duplicate": {"const": True},
                    "problem": {"$ref": _REF.format(model="Problem")},
                },
            },
        }
    },
}
SCHEMAS: dict[str, Any] = {
    "Task": TASK,
    "RollBack": RollBackFields.model_json_schema() | {"title": "RollBack"},
    "Problem": PROBLEM,
    "Accepted": ACCEPTED,
    "Results": RESULTS,
}
"""Shapes by their names; ``answers`` and ``body_of`` add those of Structs."""

Answers = dict[int | str, dict[str, Any]]

_AGAIN = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
_CHALLENGE = {"WWW-Authenticate": {"description": "Bearer, and Basic.", "schema": _TEXT}}
_PROBLEMS: dict[int, str] = {
    400: "The body is no JSON.",
    401: "A token is needed, and this is none.",
    403: "The token may not do this; or a page of another site asked, or a foreign host name.",
    404: "Nothing of this name is known.",
    408: "The body took too long.",
    409: "The state it is in does not allow it.",
    413: "More bytes than are read here.",
    415: "Not JSON in UTF-8, by its headers.",
    422: "A parameter or a field breaks a rule; `errors` says which.",
    429: "The token has asked more often than `[api] rate` allows.",
    501: "This needs a store: `[store] url`.",
    503: "Broker or store take nothing now, or the daemon is stopping.",
}
_MORE: dict[int, dict[str, Any]] = {
    401: {"headers": _CHALLENGE},
    429: {"headers": _AGAIN},
    503: {"headers": _AGAIN},
}
NO_TOKEN: dict[str, Any] = {"security": []}
"""Said of a route that is open to everybody."""

SECURITY: dict[str, Any] = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of `[api] tokens`."},
    "name": {"type": "http", "scheme": "basic", "description": "Its name, and the token."},
}

EVERYWHERE = (401, 403, 429, 503)
"""What may be answered to any request but for health."""


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=model)}


def problem_answer(status: int, said: str = "") -> dict[str, Any]:
    """Return how OpenAPI tells of a problem document."""
    content = {PROBLEM_TYPE: {"schema": _ref("Problem")}}
    return {"description": said or _PROBLEMS[status], "content": content, **_MORE.get(status, {})}


def answers(good: Mapping[int, type[Struct] | str], *bad: int, everywhere: bool = True) -> Answers:
    """Return how OpenAPI tells of a route's answers: JSON of a Struct, or another media type."""
    told: Answers = {}
    for status, kind in good.items():
        content = _content(kind)
        told[status] = {"description": HTTPStatus(status).phrase, "content": content}
    problems = (*bad, *EVERYWHERE) if everywhere else bad
    return told | {status: problem_answer(status) for status in sorted(problems)}


def _content(kind: type[Struct] | str) -> dict[str, Any]:
    if isinstance(kind, str):
        return {kind: {"schema": _TEXT}}
    return {"application/json": {"schema": shape_of(kind)}}


def shape_of(kind: type[Struct]) -> dict[str, Any]:
    """Return a reference to the shape of a Struct, which is among ``SCHEMAS`` from now on."""
    (found,), shapes = msgspec.json.schema_components([kind], ref_template=_REF_OF_STRUCTS)
    SCHEMAS.update(shapes)
    return found


def body_of(shape: type[Struct] | dict[str, Any]) -> dict[str, Any]:
    """Return how OpenAPI tells of a body of JSON: a Struct, or a schema as it stands."""
    schema = shape if isinstance(shape, dict) else shape_of(shape)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _problem_or_results(status: int, said: str) -> dict[str, Any]:
    answer = problem_answer(status, said)
    answer["content"]["application/json"] = {"schema": _ref("Results")}
    return answer


def _links() -> dict[str, Any]:
    """Return what may be asked about a task that was taken."""
    operations = ("get_task", "get_attempts", "cancel_task", "run_task", "replay_task")
    task_id = {"task_id": "$response.body#/id"}
    return {name: {"operationId": name, "parameters": task_id} for name in operations}


_KEPT = {"oneOf": [_ref("Accepted"), _ref("Results")]}
TAKEN: Answers = {
    200: {
        "description": "A task of this id was taken before, with the same content; or an array"
        " of such.",
        "content": {"application/json": {"schema": _KEPT}},
        "links": _links(),
    },
    202: {
        "description": "Taken, and kept by the broker; of an array, at least one was.",
        "headers": {"Location": {"description": "Of a single task.", "schema": _TEXT}},
        "content": {"application/json": {"schema": _KEPT}},
        "links": _links(),
    },
    **{status: problem_answer(status) for status in (400, 401, 403, 408, 415, 429, 501)},
    409: _problem_or_results(409, "A task of this id was taken before, with other content."),
    413: problem_answer(413, f"More than max_message_bytes, or {MOST_BYTES} bytes for an array."),
    422: _problem_or_results(422, "The task breaks a rule; of an array, every one does."),
    503: _problem_or_results(503, "The broker takes nothing now, or the daemon is stopping."),
}
_TASKS = {
    "type": "array",
    "minItems": 1,
    "maxItems": MOST_TASKS,
    "items": _ref("Task"),
}
IDEMPOTENCY_KEY = r"^[!-~]{1,200}$"
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Whoever sends it again within dedup_window is answered as the first time.",
    "schema": {"type": "string", "pattern": IDEMPOTENCY_KEY},
}


def _post(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"parameters": [_KEY], "requestBody": {"required": True, "content": content}}


POST_TASKS = _post({"oneOf": [_ref("Task"), _TASKS]})
PUT_TASK = _post(_ref("Task"))
