"""Who may ask: a browser that was lured here by a foreign page may not (CSRF, DNS rebinding)."""

import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from webhook_runner.api.gate import is_known
from webhook_runner.api.problem import problem
from webhook_runner.settings import host_and_port, is_loopback

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN = frozenset({"cross-site", "same-site"})


def refusal(method: str, headers: Headers, listen: str, *, known: bool = False) -> str:
    """Return why a request is refused, or an empty string; ``listen`` is where the API listens.

    On loopback only what the machine itself is called is answered to: a name of a foreign page can
    be made to lead here, an address cannot. Who is ``known`` by a token may use any name: a
    browser sends none to a foreign page's.
    """
    host = headers.get("host", "")
    own = host_and_port(listen)[0]
    if not known and host and is_loopback(own) and not _is_own(host_and_port(host)[0], own):
        return f"the host {host[:100]!r} is not what this daemon is called here; use {listen}"
    if method in _SAFE:
        return ""
    origin = headers.get("origin")
    if origin is not None and _place(origin.partition("://")[2]) != _place(host):
        return f"pages of {origin[:100]!r} may not use this API"
    if headers.get("sec-fetch-site") in _FOREIGN:
        return "pages of other sites may not use this API"
    return ""


def _is_own(name: str, own: str) -> bool:
    name = name.rstrip(".").lower()
    if name in {"localhost", own.lower()} or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _place(netloc: str) -> str:
    """Return host and port so that equal places are equal; a default port may be left out."""
    return netloc.lower().removesuffix(":80").removesuffix(":443")


class Doorkeeper:
    """The ASGI application behind it sees only who may ask."""

    def __init__(self, app: ASGIApp, listen: str) -> None:
        self._app = app
        self._listen = listen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = ""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            why = refusal(scope["method"], headers, self._listen, known=is_known(scope))
        if why:
            await problem(403, why, scope["path"])(scope, receive, send)
        else:
            await self._app(scope, receive, send)
