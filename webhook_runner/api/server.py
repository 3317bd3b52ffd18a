"""The HTTP server inside the daemon's own event loop, which leaves signals to the daemon."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI

from webhook_runner import __version__
from webhook_runner.api.aliases import alias_routes
from webhook_runner.api.asides import aside_routes
from webhook_runner.api.body import Bodies
from webhook_runner.api.connection import Connection
from webhook_runner.api.destinations import destination_routes
from webhook_runner.api.gate import Gate
from webhook_runner.api.health import health_routes
from webhook_runner.api.known import event_routes, known_routes
from webhook_runner.api.limits import PacedApp, TimedApp
from webhook_runner.api.problem import answer_with_problems
from webhook_runner.api.queues import queue_routes
from webhook_runner.api.schema import SCHEMAS, SECURITY
from webhook_runner.api.served import Served
from webhook_runner.api.steer import steer_routes
from webhook_runner.api.tasks import Taking, task_routes
from webhook_runner.api.visitors import Doorkeeper
from webhook_runner.errors import ConfigError
from webhook_runner.settings import host_and_port
from webhook_runner.task.notice import Aside

_BACKLOG = 128
_MOST_CONNECTIONS = 500
_LAST_ANSWERS_SECONDS = 2


_UNUSED = frozenset({"HTTPValidationError", "ValidationError"})  # the framework's own problems


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the daemon drains on them."""
        yield


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Add the shapes that no route hands to the framework, and who may ask."""
        if self.openapi_schema is None:
            told = super().openapi()
            parts = told.setdefault("components", {})
            shapes = {**parts.get("schemas", {}), **SCHEMAS}
            parts["schemas"] = {
                name: shapes[name] for name in sorted(shapes) if name not in _UNUSED
            }
            parts["securitySchemes"] = SECURITY
            told["security"] = [*({name: []} for name in SECURITY), {}]
        return super().openapi()


def _routers(served: Served) -> Iterator[APIRouter]:
    control, bodies = served.control, Bodies()
    taking = Taking(served.intake, bodies)
    yield health_routes(served.readiness, served.metrics)
    yield task_routes(taking)
    yield known_routes(control.tasks, served.door.events)
    yield steer_routes(control.tasks, bodies)
    yield event_routes(served.door.events)
    yield queue_routes(control.queues, bodies)
    yield destination_routes(control.destinations)
    for aside in Aside:
        yield aside_routes(aside, control.asides, bodies)
    yield alias_routes(taking, control.tasks)


def make_app(served: Served, listen: str) -> FastAPI:
    """Return the application; ``listen`` says under which names it may be asked."""
    app = _Api(
        title="webhook_runner",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    routers = tuple(_routers(served))
    for router in routers:
        app.include_router(router)
    answer_with_problems(
        app, [*app.router.routes, *(route for router in routers for route in router.routes)]
    )
    door = served.door
    # The last one is asked first.
    app.add_middleware(TimedApp)
    app.add_middleware(PacedApp, pace=door.pace)
    app.add_middleware(Doorkeeper, listen=listen)
    app.add_middleware(Gate, credentials=door.credentials, listen=listen)
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
        self._events = served.door.events
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
            self._events.close()
            await serving
            raise
        finally:
            listener.close()


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
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
