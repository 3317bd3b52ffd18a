"""`make demo` without RabbitMQ: it ends well, needs no tool of the tests, and stays when asked."""

import os
import signal
import subprocess
import sys

import pytest

from tests.parts.daemon import ROOT

pytestmark = pytest.mark.system

DEMO = (sys.executable, "-m", "examples.demo")


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
