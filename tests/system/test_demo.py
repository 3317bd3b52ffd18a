"""`make demo` without RabbitMQ: it ends well, needs no tool of the tests, and stays when asked."""

import os
import signal
import subprocess
import sys

import pytest

from examples.demo.door import Handed
from examples.demo.exhibits import Exhibit
from examples.demo.story import Story, complaints
from tests.parts.daemon import ROOT, Event
from tests.parts.receiver import Request

pytestmark = pytest.mark.system

DEMO = (sys.executable, "-m", "examples.demo")


DOOMED = Exhibit("x", "x", b"", ("/x", "/x", "/undo"), (0, 1), "task.failed")
ENDED: tuple[Event, ...] = ({"event": "task.failed"}, {"event": "task.rolled_back"})


def request(path: str, at: float, *, attempt: int = 1, kind: str = "task") -> Request:
    headers = (
        ("Webhook-Runner-Attempt", str(attempt)),
        ("Webhook-Runner-Event", kind),
        ("Webhook-Runner-Attempts", "2"),
    )
    return Request(at, at, "POST", path, "", headers, b"", 1)


FIRST, SECOND = request("/x", 10.0), request("/x", 11.1, attempt=2)
UNDO = request("/undo", 11.2, kind="rollback")


@pytest.mark.parametrize(
    ("requests", "complaint"),
    [
        ((FIRST, SECOND, UNDO), ""),
        ((FIRST, UNDO), "called /x /undo, not /x /x /undo"),
        ((FIRST, SECOND, UNDO, UNDO), "called /x /x /undo /undo, not /x /x /undo"),
        ((FIRST, SECOND, request("/undo", 11.2)), "the last call was not the roll-back"),
        ((FIRST, request("/x", 10.75, attempt=2), UNDO), "/x came 0.250 s early"),
        ((FIRST, FIRST, UNDO), "attempts were numbered ['1', '1']"),
    ],
)
def test_it_complains_of_what_was_not_promised(
    requests: tuple[Request, ...], complaint: str
) -> None:
    handed = Handed(taken=True, answer="202")
    told = list(complaints(Story(DOOMED, 9.9, handed, requests, ENDED)))
    assert (told or [""])[0] == complaint


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in {"BROKER", "DURATION"}}
    return {**kept, **more}


def test_it_checks_what_it_shows_and_ends_by_itself() -> None:
    done = subprocess.run(
        DEMO,
        cwd=ROOT,
        env=environment(DURATION="60"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "invalid: handed in: 422 countdown: " in done.stdout
    assert "checked: nothing wrong" in done.stdout
    assert done.stdout.count("  ok   ") == 6


def test_it_fails_when_the_time_is_too_short_for_what_it_promises() -> None:
    done = subprocess.run(
        DEMO,
        cwd=ROOT,
        env=environment(DURATION="0.5"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "BAD  in 3 seconds: ended as nothing" in done.stdout


def test_it_stays_until_it_is_interrupted() -> None:
    with subprocess.Popen(
        DEMO, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        try:
            assert any("Ctrl-C ends it" in line for line in lines)
            assert any("/v1/tasks" in line for line in lines)
        finally:
            process.send_signal(signal.SIGINT)
        rest = "".join(lines)
        assert process.wait(60) == 0
    assert "the daemon drained and ended with exit code 0" in rest


def test_it_needs_nothing_that_only_tests_need() -> None:
    modules = "{'pika', 'pytest', 'testcontainers', 'tests.parts.broker'}"
    code = f"import sys, examples.demo.__main__; print({modules} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
