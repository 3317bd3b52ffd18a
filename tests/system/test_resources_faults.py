"""One daemon that meets fault after fault: descriptors, threads, tasks and memory come back."""

import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import pytest

from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.hostile import (
    Close,
    Drip,
    Endless,
    HostileServer,
    Read,
    Reset,
    Send,
    Silence,
    Step,
)
from tests.parts.patient import QUEUE, Patient
from tests.parts.ports import free_port
from tests.parts.stage import QUICK

pytestmark = pytest.mark.system

AT_ONCE = 15
CUT = struct.pack("ii", 1, 0)
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
ENDPOINTS: dict[str, Sequence[Step]] = {
    "closes": [Close()],
    "cuts": [Read(), Reset()],
    "says nothing": [Read(), Silence()],
    "drips its head": [Read(), Drip(b"HTTP/1.1 500 No\r\n" * 100, 0.2)],
    "talks rubbish": [Read(), Send(b"\x00\xff rubbish \r\n\r\n")],
    "sends heads without end": [Read(), Endless(b"HTTP/1.1 100 Continue\r\n\r\n", 0.001)],
}


@pytest.fixture(scope="module")
def patient(shared_stage: EmbeddedStage) -> Patient:
    daemon = shared_stage.daemon({QUEUE: f"{QUICK}\nconcurrency = 200"})
    return Patient.admit(shared_stage, daemon, shared_stage.port)


def test_endpoints_of_every_evil_kind_leave_nothing_behind(patient: Patient) -> None:
    with ExitStack() as stack:
        evil = [stack.enter_context(HostileServer(steps)) for steps in ENDPOINTS.values()]
        urls = [f"{server.url}/" for server in evil]
        refusing = f"http://127.0.0.1:{free_port()}/"
        patient.fail_at([*urls, refusing, "http://nowhere.invalid/"] * AT_ONCE)
    patient.recovers()


def test_answers_that_do_not_end_are_left_and_leave_nothing_behind(patient: Patient) -> None:
    with HostileServer([Read(), Send(ENDLESS), Endless(b"x" * 65536)]) as server:
        names = [f"endless-{number}" for number in range(AT_ONCE)]
        patient.publish(*({"url": f"{server.url}/", "id": each} for each in names))
        for name in names:
            patient.daemon.wait_for_event("task.succeeded", task_id=name, timeout=30)
        patient.recovers()
        # What fits into the buffers of a socket may have been sent, no more.
        assert server.sent_bytes < AT_ONCE * 8_000_000


def idle(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def half_a_request(port: int) -> socket.socket:
    connection = idle(port)
    head = f"POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 99\r\n\r\n["
    connection.sendall(head.encode())
    return connection


def listener(port: int) -> socket.socket:
    connection = idle(port)
    connection.sendall(f"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


@pytest.mark.parametrize("call", [idle, half_a_request, listener])
@pytest.mark.parametrize("cut", [False, True])
def test_callers_of_the_api_that_vanish_leave_nothing_behind(
    patient: Patient, call: Callable[[int], socket.socket], cut: bool
) -> None:
    for connection in [call(patient.port) for _ in range(AT_ONCE)]:
        if cut:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
        connection.close()
    patient.recovers()
