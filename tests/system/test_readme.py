"""The first runs of the README, block by block: without RabbitMQ, and against a real one."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.parts.daemon import ROOT, Daemon
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver
from webhook_runner.config.loader import USUAL_PATH

pytestmark = pytest.mark.system
needs_rabbitmq = pytest.mark.rabbitmq

README = (ROOT / "README.md").read_text()
BROKER = "amqp://guest:guest@localhost:5672/"
API = "127.0.0.1:7676"
SHOWN = "python3 -m http.server --bind 127.0.0.1 8000"


def section(title: str) -> str:
    """Return what stands below a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def block(title: str, language: str, holding: str) -> str:
    """Return the only block of a section and language that holds some words."""
    found = re.findall(rf"^```{language}\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)
    (only,) = [body for body in found if holding in body]
    return str(only)


FIRST, WITH_RABBITMQ = "A first run", "A first run with RabbitMQ"


def test_the_first_screen_is_two_commands_and_a_request() -> None:
    before = README.split("\n## Without RabbitMQ")[0]
    assert len(before.splitlines()) < 28
    install, serve = block(FIRST, "sh", "serve").splitlines()
    # What these two do is run in test_installed.py, from a wheel.
    assert install == "python3 -m venv .venv && .venv/bin/pip install ."
    assert serve == ".venv/bin/webhook-runner serve"


@pytest.mark.skipif(USUAL_PATH.exists(), reason=f"{USUAL_PATH} would be read")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_task_by_curl_is_done_by_a_daemon_without_configuration(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    nothing = dict.fromkeys(("TASKQUEUE_CONFIG_FILE", "STATE_DIRECTORY", "XDG_STATE_HOME"), "")
    environment = {**nothing, "HOME": str(tmp_path), "WEBHOOK_RUNNER_API__LISTEN": listen}
    with Daemon("", environment=environment) as daemon:
        daemon.ready()
        assert (tmp_path / ".local/state/webhook-runner/queue.db").is_file()
        command = block(FIRST, "sh", "curl").strip().replace(API, listen)
        said = subprocess.run(
            ["sh", "-c", f"{command} --silent --show-error --noproxy '*'"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        answer = json.loads(said.stdout)
        waits = daemon.wait_for_event("task.scheduled", task_id=answer["id"])
        done = daemon.wait_for_event("task.succeeded", task_id=answer["id"], status=200)
        assert str(done["timestamp"]) >= str(waits["next_at"])


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is not installed")
def test_the_backup_of_a_running_daemon_holds_its_tasks(tmp_path: Path, receiver: Receiver) -> None:
    (command,) = re.findall(r"`(sqlite3 queue.db .*?)`", README)
    config = f'server = "embedded:{tmp_path}/queue.db"\n[api]\nlisten = "127.0.0.1:{{}}"\n'
    port = free_port()
    task = f'{{"id": "kept", "url": "{receiver.url}/kept", "countdown": 3}}'
    post = ["curl", "-sSf", "--noproxy", "*", "-H", "Content-Type: application/json", "-d", task]
    with Daemon(config.format(port)) as daemon:
        daemon.ready()
        subprocess.run([*post, f"http://127.0.0.1:{port}/v1/tasks"], check=True, timeout=30)
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=30)
        daemon.kill()
    (tmp_path / "copy.db").rename(tmp_path / "restored.db")
    with Daemon(config.format(port).replace("queue.db", "restored.db")) as daemon:
        daemon.ready()
        daemon.wait_for_event("task.succeeded", task_id="kept")
    assert len(receiver.received("/kept")) == 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where the blocks run: their addresses are those of private parts."""

    directory: Path
    broker: str
    port: int

    def adapted(self, text: str) -> str:
        """Return a block with its addresses replaced; each must be of those that are known."""
        text = text.replace(BROKER, self.broker).replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        return text.replace("127.0.0.1 8000", f"127.0.0.1 {self.port}")

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
    config = place.adapted(block(WITH_RABBITMQ, "toml", "base_url"))
    (place.directory / "first.ini").write_text(config)
    elsewhere = {"WEBHOOK_RUNNER_API__LISTEN": "127.0.0.1:0"}
    serve = block(WITH_RABBITMQ, "sh", "serve").strip()
    assert serve == "webhook-runner serve --config first.ini"
    with Daemon(config, environment=elsewhere) as started:
        started.ready()
        yield started


@pytest.fixture
def shown(place: Place) -> Iterator[subprocess.Popen[str]]:
    """The web server of the README, which says on standard error what arrives."""
    assert f"`{SHOWN}`" in section(WITH_RABBITMQ)
    words = place.adapted(SHOWN).removeprefix("python3").split()
    with subprocess.Popen(
        [sys.executable, "-u", *words],
        cwd=place.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert "Serving HTTP" in server.stdout.readline()
        yield server
        server.kill()


@needs_rabbitmq
def test_the_web_server_shows_what_the_daemon_sends(
    place: Place, daemon: Daemon, shown: subprocess.Popen[str]
) -> None:
    publisher = place.python(block(WITH_RABBITMQ, "python", "pika"))
    assert publisher.communicate(timeout=20)[0] == ""
    assert publisher.returncode == 0
    daemon.wait_for_event("task.succeeded", task_id="order-7", timeout=30)
    assert shown.stderr is not None
    assert '"GET /?order=7 HTTP/1.1" 200' in shown.stderr.readline()


@needs_rabbitmq
def test_a_task_of_the_command_line_arrives(place: Place, receiver: Receiver) -> None:
    at_receiver = Place(place.directory, place.broker, receiver.port)
    config = at_receiver.adapted(block(WITH_RABBITMQ, "toml", "base_url"))
    (place.directory / "first.ini").write_text(config)
    with Daemon(config, environment={"WEBHOOK_RUNNER_API__LISTEN": "127.0.0.1:0"}) as daemon:
        daemon.ready()
        command = block(WITH_RABBITMQ, "sh", "send").strip()
        sent = subprocess.run(
            [
                "sh",
                "-c",
                command.replace("webhook-runner", '"$0" -m webhook_runner'),
                sys.executable,
            ],
            cwd=place.directory,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        (request,) = receiver.wait_for(1, timeout=30)
        assert request.header("Webhook-Runner-Task-Id") == sent.stdout.strip()
        assert (request.method, request.path, request.query) == ("GET", "/", "order=8")


@pytest.mark.skipif(USUAL_PATH.exists(), reason=f"{USUAL_PATH} would be read")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_task_is_looked_at_and_cancelled_and_a_queue_steered(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    nothing = dict.fromkeys(("TASKQUEUE_CONFIG_FILE", "STATE_DIRECTORY", "XDG_STATE_HOME"), "")
    environment = {**nothing, "HOME": str(tmp_path), "WEBHOOK_RUNNER_API__LISTEN": listen}
    lines = block("Asking and steering", "sh", "DELETE").replace(API, listen).splitlines()
    with Daemon("", environment=environment) as daemon:
        daemon.ready()
        kept, known, cancelled, paused, changed, resumed = map(curl, lines)
        assert kept == {"id": "order-7", "queue": "default"}
        assert (known["state"], known["attempt"]) == ("scheduled", 0)
        assert cancelled == {"id": "order-7", "state": "cancelled"}
        assert (paused["paused"], resumed["paused"]) == (True, False)
        assert changed["limits"]["concurrency"] == 5
        assert set(changed["changed"]) == {"concurrency", "rate"}
        daemon.wait_for_event("queue.changed", paused=True)


def curl(line: str) -> Any:
    """Run a line of the README and return what was answered."""
    said = subprocess.run(
        ["sh", "-c", f"{line} --silent --show-error --noproxy '*'"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return json.loads(said.stdout)
