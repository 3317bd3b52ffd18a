"""The first run of the README, block by block, against a real RabbitMQ."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.daemon import Daemon
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text().split("## A first run")[1].split("\n## ")[0]
BROKER = "amqp://guest:guest@localhost:5672/"
ADDRESS = "http://127.0.0.1:8000"


def block(language: str, holding: str) -> str:
    """Return the only block of a language that holds some words."""
    found = re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    (only,) = [body for body in found if holding in body]
    return str(only)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the blocks run: their addresses are those of private parts."""

    directory: Path
    broker: str
    port: int

    def adapted(self, text: str) -> str:
        """Return a block with its addresses replaced; each must be of those that are known."""
        text = text.replace(BROKER, self.broker).replace(ADDRESS, f"http://127.0.0.1:{self.port}")
        return text.replace('("127.0.0.1", 8000)', f'("127.0.0.1", {self.port})')

    def python(self, text: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", self.adapted(text)],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def place(tmp_path: Path, vhost_url: str) -> Place:
    return Place(tmp_path, vhost_url, free_port())


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    config = place.adapted(block("toml", "base_url"))
    (place.directory / "first.ini").write_text(config)
    elsewhere = {"WEBHOOK_RUNNER_API__LISTEN": "127.0.0.1:0"}
    serve = block("sh", "serve").strip()
    assert serve == "webhook-runner serve --config first.ini"
    with Daemon(config, environment=elsewhere) as started:
        started.ready()
        yield started


def test_the_receiver_shows_what_the_daemon_sends(place: Place, daemon: Daemon) -> None:
    receiver = place.python(block("python", "HTTPServer"))
    try:
        publisher = place.python(block("python", "pika"))
        assert publisher.communicate(timeout=20)[0] == ""
        assert publisher.returncode == 0
        daemon.wait_for_event("task.succeeded", task_id="order-7", timeout=30)
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == '/hello attempt 1 b\'{"to": "you"}\'\n'
    finally:
        receiver.kill()
        receiver.communicate()


def test_a_task_of_the_command_line_arrives(place: Place, receiver: Receiver) -> None:
    at_receiver = Place(place.directory, place.broker, receiver.port)
    config = at_receiver.adapted(block("toml", "base_url"))
    (place.directory / "first.ini").write_text(config)
    with Daemon(config, environment={"WEBHOOK_RUNNER_API__LISTEN": "127.0.0.1:0"}) as daemon:
        daemon.ready()
        command = block("sh", "send").strip().replace("webhook-runner", '"$0" -m webhook_runner')
        sent = subprocess.run(
            ["sh", "-c", command, sys.executable],
            cwd=place.directory,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        (request,) = receiver.wait_for(1, timeout=30)
        assert request.header("Webhook-Runner-Task-Id") == sent.stdout.strip()
        assert request.path == "/hello"
        assert request.json() == {"to": "me"}
