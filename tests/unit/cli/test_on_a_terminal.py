"""What only people see: questions, bars and colours, on a terminal of the test's own."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.steering_api import SteeringApi, lines, page, queue, said

ROOT = Path(__file__).parents[3]


@pytest.fixture
def api() -> Iterator[SteeringApi]:
    with SteeringApi() as started:
        yield started


def shown(*arguments: str, typed: str = "", **environment: str) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and what was on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "webhook_runner", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    screen = b""
    try:
        while piece := os.read(ours, 4096):
            screen += piece
    except OSError:
        pass  # the terminal is gone when its last user is
    os.close(ours)
    return process.wait(30), screen.decode()


@pytest.mark.parametrize(("answer", "code", "purged"), [("n\n", 1, 0), ("y\n", 0, 1)])
def test_what_cannot_be_undone_is_asked_about_with_counts(
    answer: str, code: int, purged: int, api: SteeringApi
) -> None:
    api.on("GET", "queues/mail", said(queue()))
    api.on("POST", "queues/mail/purge", said({"ready": 3, "scheduled": 0}))
    ended, screen = shown("purge", "mail", "--url", api.url, typed=answer)
    assert ended == code, screen
    assert "throw away 3 ready tasks of mail? [y/N]" in screen
    assert len([method for method, _ in api.asked() if method == "POST"]) == purged


def test_states_are_coloured_but_not_for_who_wants_none(api: SteeringApi) -> None:
    api.on("GET", "queues", page(queue(paused=True)))
    assert "\x1b[33mpaused" in shown("queues", "--url", api.url)[1]
    assert "\x1b" not in shown("queues", "--url", api.url, NO_COLOR="1")[1]


def test_a_replay_has_a_bar(api: SteeringApi) -> None:
    told = [{"letter": f"l{number}"} for number in range(3)]
    total = {"replayed": 3, "failed": 0, "matched": 3, "dry_run": False}
    api.on("POST", "queues/mail/dead/replay", lines(*told, total))
    ended, screen = shown("dead", "replay", "mail", "--all", "--yes", "--url", api.url)
    assert ended == 0
    assert "replaying" in screen
    assert "3 of 3 replayed" in screen
