"""A wheel in an empty environment: its declared dependencies suffice for a task to arrive."""

import json
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.parts.daemon import ROOT, Daemon
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of an environment that holds the wheel and what it declares."""
    place = tmp_path_factory.mktemp("installed")
    build = ("wheel", "--quiet", "--no-deps", "--wheel-dir", place / "dist", ROOT)
    run(sys.executable, "-m", "pip", *build)
    (wheel,) = (place / "dist").glob("*.whl")
    venv.create(place / "venv", with_pip=True)
    bin_directory = place / "venv/bin"
    locked = ("--constraint", ROOT / "requirements.lock")
    run(bin_directory / "pip", "install", "--quiet", "--no-compile", *locked, wheel)
    return bin_directory


def test_the_wheel_alone_takes_a_task_and_delivers_it(
    programs: Path, receiver: Receiver, tmp_path: Path
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    config = f'server = "embedded:{tmp_path}/queue.db"\n[api]\nlisten = "{listen}"\n'
    command = (str(programs / "webhook-runner"), "serve")
    with Daemon(config, environment={"PYTHONPATH": ""}, command=command) as daemon:
        daemon.ready(timeout=60)
        task = {"id": "first", "url": f"{receiver.url}/hello", "payload": {"to": "you"}}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(
            f"http://{listen}/v1/tasks", json.dumps(task).encode(), headers
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=20) as answer:
            assert answer.status == 202
        (arrived,) = receiver.wait_for(1, "/hello")
        assert arrived.json() == {"to": "you"}
        daemon.wait_for_event("task.succeeded", task_id="first")
        assert daemon.terminate() == 0


def test_the_sample_is_in_the_wheel(programs: Path) -> None:
    sample = run(programs / "webhook-runner", "config", "example")
    assert sample == (ROOT / "taskqueue.ini").read_text()
