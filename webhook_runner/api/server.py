"""The HTTP server inside the daemon's own event loop, which leaves signals to the daemon."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from webhook_runner import __version__
from webhook_runner.api.health import Readiness, health_routes
from webhook_runner.api.problem import answer_with_problems
from webhook_runner.api.schema import SCHEMAS
from webhook_runner.api.tasks import task_routes
from webhook_runner.api.visitors import Doorkeeper
from webhook_runner.engine.intake import Intake
from webhook_runner.errors import ConfigError
from webhook_runner.settings import host_and_port

_BACKLOG = 128
_MOST_CONNECTIONS = 500
_LAST_ANSWERS_SECONDS = 2


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the daemon drains on them."""
        yield


@dataclass(frozen=True, slots=True)
class Served:
    """What the API lets one see and do. The first two are asked anew for each request."""

    readiness: Callable[[], Readiness]
    metrics: Callable[[], bytes]
    intake: Intake


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Add the shapes that no route hands to the framework."""
        told = super().openapi()
        told.setdefault("components", {}).setdefault("schemas", {}).update(SCHEMAS)
        return told


def make_app(served: Served, listen: str) -> FastAPI:
    """Return the application; ``listen`` says under which names it may be asked."""
    app = _Api(
        title="webhook_runner",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    answer_with_problems(app)
    app.include_router(health_routes(served.readiness, served.metrics))
    app.include_router(task_routes(served.intake))
    app.add_middleware(Doorkeeper, listen=listen)
    return app


def parse_listen(listen: str) -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:7676`` or ``[::1]:7676``.

    Raises:
        ConfigError: it has another form, or the port is above 65535.

    """
    host, port = host_and_port(listen)
    if not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise ConfigError(f'[api] listen = "{listen}": write "HOST:PORT", such as "127.0.0.1:7676"')
    return host, int(port)


def bind(listen: str) -> socket.socket:
    """Return a listening socket for ``[api] listen``.

    Raises:
        ConfigError: the address cannot be had; the message names the key and a way out.

    """
    host, port = parse_listen(listen)
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise _refusal(listen, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _refusal(listen, error) from error
    listener.setblocking(False)
    return listener


def _refusal(listen: str, error: OSError) -> ConfigError:
    why = error.strerror or str(error)
    return ConfigError(
        f'[api] listen = "{listen}": cannot listen there: {why}; '
        'choose another port, or "" to switch the HTTP API off'
    )


class ApiServer:
    """Serves the API on ``listen``, such as ``127.0.0.1:7676``; an empty one opens nothing."""

    def __init__(self, listen: str, served: Served) -> None:
        self._listen = listen
        self._app = make_app(served, listen)
        self._address = ("", 0)
        self.started = asyncio.Event()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, once ``started``: the port that port 0 became."""
        return self._address

    async def run(self) -> None:
        """Serve until cancelled; then answer what has begun, for at most two seconds.

        Raises:
            ConfigError: the address cannot be had.

        """
        if not self._listen:
            await asyncio.Event().wait()
        listener = bind(self._listen)
        self._address = listener.getsockname()[:2]
        server = _Server(_config(self._app))
        serving = asyncio.create_task(server.serve([listener]), name="http-api")
        # The socket is bound and listens: whoever connects from now on is answered.
        self.started.set()
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise
        finally:
            listener.close()


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
        timeout_keep_alive=5,
    )
