"""Errors of the HTTP API as problem documents (RFC 9457): one table, one shape."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

PROBLEM_TYPE = "application/problem+json"


def problem(status: int, detail: str, instance: str = "") -> JSONResponse:
    """Return a problem document without a type of its own: its title is the status's."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    content |= {"detail": detail} | ({"instance": instance} if instance else {})
    return JSONResponse(content, status_code=status, media_type=PROBLEM_TYPE)


async def _http_problem(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return problem(500, "the server failed; its log says why", request.url.path)
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is nothing at {request.url.path}; see /openapi.json"
    answer = problem(error.status_code, detail, request.url.path)
    answer.headers.update(error.headers or {})
    return answer


def answer_with_problems(app: FastAPI) -> None:
    """Make every error that the application answers a problem document."""
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Exception, _http_problem)
