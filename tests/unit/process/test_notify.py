import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook_runner.process.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = f"@wr-{secrets.token_hex(8)}" if request.param == "abstract" else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.settimeout(5)
        yield listener, name


def test_the_service_manager_is_told_each_state(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("2 queues\nconsumed")
    assert listener.recv(1000) == b"READY=1\nSTATUS=2 queues consumed"
    notifier.status("42 in flight")
    assert listener.recv(1000) == b"STATUS=42 in flight"
    notifier.ping()
    assert listener.recv(1000) == b"WATCHDOG=1"
    notifier.extend_timeout(1.5)
    assert listener.recv(1000) == b"EXTEND_TIMEOUT_USEC=1500000"
    notifier.stopping()
    assert listener.recv(1000) == b"STOPPING=1"
    notifier.reloading()
    first, second = listener.recv(1000).split(b"\n")
    assert first == b"RELOADING=1"
    assert second.removeprefix(b"MONOTONIC_USEC=").isdigit()


def test_without_a_service_manager_nothing_happens() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "30000000"})
    notifier.ready("x")
    notifier.status("")
    assert notifier.watchdog_seconds is None


def test_a_service_manager_that_has_gone_does_no_harm(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": f"{tmp_path}/gone"}).ready()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", **environ}).watchdog_seconds == seconds
