"""What this machine gives the daemon: its clock, its limits, its addresses. For `doctor`."""

import ctypes
import json
import resource
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from webhook_runner.process.doctor.check import Check, note, ok, problem, warning
from webhook_runner.settings import Settings, host_and_port

_LONGEST_ANSWER = 65_536
_PATIENCE = 3.0
# adjtimex(2): the buffer is larger than struct timex anywhere; zeros ask and set nothing.
_TIMEX_BYTES = 512
_TIME_ERROR = 5
# Connections to the broker and of the HTTP API, idle ones, files.
_OTHER_FILES = 256


@dataclass(frozen=True, slots=True)
class Door:
    """Who answers where the HTTP API is to listen.

    Attributes:
        error: why nobody could listen there, or "".
        is_ours: a daemon of ours answers.
        parts: what its ``/readyz`` says of each part; "ready" tells the whole.
        ready: whether it is ready.

    """

    error: str = ""
    is_ours: bool = False
    ready: bool = False
    parts: Mapping[str, str] = field(default_factory=dict)


def is_clock_synchronised() -> bool | None:
    """Return what the kernel says of the wall clock; None when it does not say."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError):
        return None
    state = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


def open_files() -> int:
    """Return how many files and sockets a process started here may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def look_at_door(listen: str) -> Door:
    """Ask whoever listens at ``listen``; if nobody does, see whether it could be listened at."""
    if not listen or listen.endswith(":0"):
        return Door()
    host, port = host_and_port(listen)
    called = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}.get(host, host)  # noqa: S104
    try:
        with socket.create_connection((called, int(port)), _PATIENCE):
            pass
    except OSError:
        return Door(_obstacle("" if host == "*" else host, int(port)))
    return _asked(called, int(port))


def _asked(host: str, port: int) -> Door:
    connection = HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/readyz")
        said = json.loads(connection.getresponse().read(_LONGEST_ANSWER))
        return Door(
            is_ours=True,
            ready=bool(said["ready"]),
            parts={str(name): str(text) for name, text in said["parts"].items()},
        )
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError):
        return Door("another program listens there")
    finally:
        connection.close()


def _obstacle(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as trial:
            # As the server does: an address that was used a moment ago is free.
            with suppress(OSError):
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def check_machine(settings: Settings) -> list[Check]:
    """Look at the clock, the limit of open files and the address of the HTTP API."""
    needed = settings.max_total + _OTHER_FILES
    return [
        judge_clock(is_clock_synchronised()),
        judge_files(open_files(), needed),
        judge_door(settings.api.listen, look_at_door(settings.api.listen)),
    ]


def judge_clock(synchronised: bool | None) -> Check:  # noqa: FBT001 - what the kernel says
    if synchronised is None:
        return note("clock", "whether it is right cannot be told from here", "timedatectl status")
    if not synchronised:
        return warning(
            "clock",
            "the kernel does not call it synchronised; tasks are due by this clock",
            "run chrony or systemd-timesyncd; in a container, on its host",
        )
    return ok("clock", "synchronised")


def judge_files(allowed: int, needed: int) -> Check:
    text = f"{allowed} open files for a process started here, {needed} may be needed"
    if allowed < needed:
        remedy = "LimitNOFILE= of the systemd unit, `ulimit -n`, or a smaller max_total"
        return warning("open files", text, remedy)
    return ok("open files", text)


def judge_door(listen: str, door: Door) -> Check:
    if not listen:
        return note("http api", '[api] listen = "": nobody can ask the daemon how it is')
    if door.error:
        remedy = "end that program, or name another address as [api] listen"
        return problem("http api", f"{listen}: {door.error}", remedy)
    if not door.is_ours:
        return ok("http api", f"{listen} is free: no daemon runs there")
    if not door.ready:
        lacking = [f"{part}: {said}" for part, said in door.parts.items() if said != "ok"]
        return warning(
            "http api", f"{listen}: the daemon is not ready; {', '.join(lacking)}", "see its log"
        )
    return ok("http api", f"{listen}: a daemon answers, and is ready")
