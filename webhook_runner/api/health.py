"""Is it alive, is it ready, what does it count: /livez, /readyz, /metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from msgspec import Struct

from webhook_runner.api.answers import FRESH, as_json
from webhook_runner.api.schema import NO_TOKEN, answers

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether work is being done, by part: ``{"broker": "ok", "queue default": "not consumed"}``.

    A part says ``ok`` or the reason why not.
    """

    ready: bool
    parts: Mapping[str, str] = field(default_factory=dict)


class ReadinessView(Struct, frozen=True):
    """Each part is `ok`, or why it is not."""

    ready: bool
    parts: dict[str, str]


_READY = answers({200: ReadinessView}, everywhere=False)
_READY[503] = _READY[200] | {"description": "Not ready; the parts say why."}


def health_routes(readiness: Callable[[], Readiness], metrics: Callable[[], bytes]) -> APIRouter:
    """Return the three routes. They only read what is known already, and touch no network."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", response_class=PlainTextResponse, openapi_extra=NO_TOKEN)
    async def livez() -> PlainTextResponse:
        """Answer as long as the event loop turns."""
        return PlainTextResponse("ok\n", headers=FRESH)

    @router.get("/readyz", response_class=Response, responses=_READY, openapi_extra=NO_TOKEN)
    async def readyz() -> Response:
        """Answer 200 only while every configured queue is consumed and work can be done."""
        now = readiness()
        view = ReadinessView(now.ready, dict(now.parts))
        return as_json(view, 200 if now.ready else 503)

    @router.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses=answers({200: "text/plain"}),
    )
    async def metrics_page() -> Response:
        """Answer the page for a Prometheus server."""
        return Response(metrics(), media_type=METRICS_TYPE, headers=FRESH)

    return router
