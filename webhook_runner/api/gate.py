"""The door of the API: asks for a token where there are any, and for the role that fits."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from webhook_runner.api.credentials import ANYBODY, Caller, Credentials
from webhook_runner.api.problem import problem
from webhook_runner.settings import host_and_port, is_loopback

ALWAYS_OPEN = frozenset({"/livez", "/readyz"})
_METRICS = "/metrics"
_CALLER = "webhook_runner.caller"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGES = (
    ("WWW-Authenticate", 'Bearer realm="webhook-runner"'),
    ("WWW-Authenticate", 'Basic realm="webhook-runner", charset="UTF-8"'),
)


def caller_of(scope: Scope) -> Caller:
    """Return who sent the request that the gate let in."""
    caller = scope.get(_CALLER)
    return caller if isinstance(caller, Caller) else ANYBODY


def is_known(scope: Scope) -> bool:
    """Whether the request came with a token that is in force."""
    return bool(caller_of(scope).name)


class Gate:
    """The ASGI application behind it sees only requests of who may make them."""

    def __init__(self, app: ASGIApp, credentials: Credentials, listen: str) -> None:
        self._app = app
        self._credentials = credentials
        own = is_loopback(host_and_port(listen)[0])
        self._open = ALWAYS_OPEN | {_METRICS} if own else ALWAYS_OPEN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._credentials.are_asked_for:
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        told = Headers(scope=scope).getlist("authorization")
        # Of two, another program on the way may have looked at the other one.
        caller = self._credentials.caller(told[0] if len(told) == 1 else "")
        if caller is None and path not in self._open:
            answer = problem(401, "send Authorization: Bearer TOKEN, or Basic NAME:TOKEN", path)
            for name, value in _CHALLENGES:
                answer.headers.append(name, value)
            await answer(scope, receive, send)
        elif caller is not None and not (caller.sees_all or scope["method"] in _SAFE):
            detail = f"the token {caller.name!r} has the role read, which changes nothing"
            await problem(403, detail, path)(scope, receive, send)
        else:
            known = {} if caller is None else {_CALLER: caller}
            await self._app({**scope, **known}, receive, send)
