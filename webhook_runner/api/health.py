"""Is it alive, is it ready, what does it count: /livez, /readyz, /metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether work is being done, by part: ``{"broker": "ok", "queue default": "not consumed"}``.

    A part says ``ok`` or the reason why not.
    """

    ready: bool
    parts: Mapping[str, str] = field(default_factory=dict)


def health_routes(readiness: Callable[[], Readiness], metrics: Callable[[], bytes]) -> APIRouter:
    """Return the three routes. They only read what is known already, and touch no network."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", response_class=PlainTextResponse)
    async def livez() -> PlainTextResponse:
        """Answer as long as the event loop turns."""
        return PlainTextResponse("ok\n", headers=FRESH)

    @router.get("/readyz", responses={503: {"description": "Not ready; the parts say why."}})
    async def readyz() -> JSONResponse:
        """Answer 200 only while every configured queue is consumed and work can be done."""
        now = readiness()
        content = {"ready": now.ready, "parts": dict(now.parts)}
        return JSONResponse(content, status_code=200 if now.ready else 503, headers=FRESH)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics_page() -> Response:
        """Answer the page for a Prometheus server."""
        return Response(metrics(), media_type=METRICS_TYPE, headers=FRESH)

    return router
