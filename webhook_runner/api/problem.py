"""Errors of the HTTP API as problem documents (RFC 9457): one table, one shape."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route

from webhook_runner.errors import (
    BrokerUnavailableError,
    ConflictError,
    InvalidTaskError,
    NoStoreError,
    StoreUnavailableError,
    UnknownQueueError,
    UnknownTaskError,
)

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER = "5"
"""Seconds after which it is worth while to ask again what was answered with 503."""

# The names of RFC 9110, which older versions of Python do not know yet.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}

Document = dict[str, object]

_LONGEST_PATH = 200
_MOST_TOLD = 10


def document(
    status: int, detail: str, instance: str = "", errors: Sequence[Mapping[str, str]] = ()
) -> Document:
    """Return a problem document without a type of its own: its title is the status's."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    content: Document = {"type": "about:blank", "title": title, "status": status}
    content["detail"] = detail
    if instance:
        content["instance"] = instance[:_LONGEST_PATH]
    if errors:
        content["errors"] = [dict(each) for each in errors]
    return content


def answer_problem(content: Document, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that a problem document is; 503 says when to come again."""
    status = content["status"]
    if not isinstance(status, int):
        raise TypeError("a problem has a status")
    more = {"Retry-After": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(
        msgspec.json.encode(content), status, {**more, **(headers or {})}, media_type=PROBLEM_TYPE
    )


def problem(
    status: int, detail: str, instance: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Return the problem document that says ``detail``, as an answer."""
    return answer_problem(document(status, detail, instance), headers)


STATUS_OF: Mapping[type[Exception], int] = {
    UnknownTaskError: 404,
    UnknownQueueError: 404,
    ConflictError: 409,
    NoStoreError: 501,
    StoreUnavailableError: 503,
    BrokerUnavailableError: 503,
}
"""What is answered when the engine says no; ``InvalidTaskError`` has its reason looked at."""

OUR_ERRORS: tuple[type[Exception], ...] = (InvalidTaskError, *STATUS_OF)

# What is wrong with the whole body, not with a field of the task.
_UNREADABLE = frozenset({"not_json", "empty", "encoding"})


def document_of(error: Exception, instance: str, *, alone: bool = True) -> Document:
    """Return what is told of an error of ours; ``alone``: the body was this and nothing else."""
    if not isinstance(error, InvalidTaskError):
        status = next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), 500)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return document(status, "the server failed; its log says why", instance)
        return document(status, str(error), instance)
    status = 422
    if alone and error.reason in _UNREADABLE:
        status = 400
    elif alone and error.reason == "too_large":
        status = 413
    detail = str(error).removeprefix(f"{error.field}: ") if error.field else str(error)
    errors = [{"field": error.field, "reason": error.reason, "detail": detail}]
    return document(status, str(error), instance, errors)


async def _our_problem(request: Request, error: Exception) -> Response:
    return answer_problem(document_of(error, request.url.path))


async def _http_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return problem(500, "the server failed; its log says why", request.url.path)
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is nothing at {request.url.path[:_LONGEST_PATH]}; see /openapi.json"
    content = document(error.status_code, detail, request.url.path)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return answer_problem(content, {"Allow": ", ".join(sorted(_allowed(request)))})
    return answer_problem(content, error.headers)


def _allowed(request: Request) -> set[str]:
    """Return the methods of all routes of a path: the framework names those of one."""
    routes: Iterable[BaseRoute] = request.app.state.routes
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.path_regex.match(request.scope["path"]):
            found |= route.methods or set()
    return found


async def _parameter_problem(request: Request, error: Exception) -> Response:
    """Tell of each bad parameter which one it is and what would be right."""
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    errors = [_bad_parameter(each) for each in found[:_MOST_TOLD]]
    said = "; ".join(f"{each['field']}: {each['detail']}" for each in errors)
    if len(found) > _MOST_TOLD:
        said += f"; and {len(found) - _MOST_TOLD} more"
    return answer_problem(document(422, said, request.url.path, errors))


def _bad_parameter(found: Mapping[str, object]) -> dict[str, str]:
    place = found.get("loc")
    names = [str(part) for part in place[1:]] if isinstance(place, tuple) else []
    kind, words = str(found["type"]), str(found["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        kind, words = "unknown_parameter", "is no parameter here; see /openapi.json"
    return {"field": ".".join(names)[:100], "reason": kind, "detail": words}


def answer_with_problems(app: FastAPI, routes: Iterable[BaseRoute]) -> None:
    """Make every error that the application answers a problem document.

    ``routes`` are all it has: a wrong method is told the right ones.
    """
    app.state.routes = tuple(routes)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(RequestValidationError, _parameter_problem)
    for kind in OUR_ERRORS:
        app.add_exception_handler(kind, _our_problem)
    app.add_exception_handler(Exception, _http_problem)
