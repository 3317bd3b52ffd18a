"""What /openapi.json tells of tasks: the message from the model that reads it, and the answers."""

from typing import Any

from webhook_runner.api.body import MOST_BYTES, MOST_TASKS
from webhook_runner.api.problem import PROBLEM_TYPE
from webhook_runner.task.fields import DEDUP_KEY, RollBackFields, TaskFields

_REF = "#/components/schemas/{model}"
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
    "properties": {"id": _TEXT, "queue": _TEXT},
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
                    "status": {"enum": [202, 422, 503]},
                    "id": _TEXT,
                    "queue": _TEXT,
                    "location": _TEXT,
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


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=model)}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {PROBLEM_TYPE: {"schema": _ref("Problem")}}}


def _problem_or_results(description: str) -> dict[str, Any]:
    answer = _problem(description)
    answer["content"]["application/json"] = {"schema": _ref("Results")}
    return answer


_AGAIN = {"Retry-After": {"description": "Seconds.", "schema": _STATUS}}
PROBLEM_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Taken, and kept by the broker; of an array, at least one was.",
        "headers": {"Location": {"description": "Of a single task.", "schema": _TEXT}},
        "content": {"application/json": {"schema": {"oneOf": [_ref("Accepted"), _ref("Results")]}}},
    },
    400: _problem("The body is no JSON."),
    403: _problem("Asked by a page of another site, or under a foreign host name."),
    408: _problem("The body took too long."),
    413: _problem(f"More than max_message_bytes, or {MOST_BYTES} bytes for an array."),
    415: _problem("Not JSON in UTF-8, by its headers."),
    422: _problem_or_results("The task breaks a rule; of an array, every one does."),
    503: _problem_or_results("The broker takes nothing now, or the daemon is stopping.")
    | {"headers": _AGAIN},
}
POST_TASKS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        _ref("Task"),
                        {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MOST_TASKS,
                            "items": _ref("Task"),
                        },
                    ]
                }
            }
        },
    }
}
