"""Errors of the HTTP API as problem documents (RFC 9457): one table, one shape."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER = "5"
"""Seconds after which it is worth while to ask again what was answered with 503."""

# The names of RFC 9110, which older versions of Python do not know yet.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}

Document = dict[str, object]


def document(
    status: int, detail: str, instance: str = "", errors: Sequence[Mapping[str, str]] = ()
) -> Document:
    """Return a problem document without a type of its own: its title is the status's."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    content: Document = {"type": "about:blank", "title": title, "status": status}
    content["detail"] = detail
    if instance:
        content["instance"] = instance
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


def problem(status: int, detail: str, instance: str = "") -> Response:
    """Return the problem document that says ``detail``, as an answer."""
    return answer_problem(document(status, detail, instance))


async def _http_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return problem(500, "the server failed; its log says why", request.url.path)
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is nothing at {request.url.path}; see /openapi.json"
    content = document(error.status_code, detail, request.url.path)
    return answer_problem(content, error.headers)


def answer_with_problems(app: FastAPI) -> None:
    """Make every error that the application answers a problem document."""
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Exception, _http_problem)
