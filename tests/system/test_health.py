"""What an operator sees: probes, metrics, and a start that goes wrong."""

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.ports import free_port
from tests.parts.proxy import FaultProxy
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer
from tests.parts.stage import QUICK, Stage

pytestmark = pytest.mark.system


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.rabbitmq
def test_readiness_follows_the_broker_and_liveness_does_not(rabbit_stage: RabbitStage) -> None:
    port = free_port()
    top = f'[api]\nlisten = "127.0.0.1:{port}"\n[log]\nformat = "json"\n'
    with FaultProxy("127.0.0.1", rabbit_stage.node.port) as proxy:
        daemon = rabbit_stage.daemon({"a": QUICK}, server=proxy.url_for(rabbit_stage.url), top=top)
        status, page = get(port, "/readyz")
        assert (status, json.loads(page)["parts"]) == (200, {"broker": "ok", "queue a": "ok"})
        mark = daemon.mark()
        proxy.refuse()
        daemon.wait_for_event("broker.lost", after=mark)
        status, page = get(port, "/readyz")
        assert status == 503
        assert json.loads(page)["parts"]["broker"] == "not connected"
        assert get(port, "/livez")[0] == 200
        assert "webhook_runner_broker_up 0.0" in get(port, "/metrics")[1]
        proxy.pass_through()
        daemon.ready(after=mark)
        assert get(port, "/readyz")[0] == 200
        mark = daemon.mark()
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for_event("queue.stopped", after=mark)
        assert (get(port, "/readyz")[0], get(port, "/livez")[0]) == (503, 200)
        daemon.close()


def test_metrics_count_what_happened(stage: EmbeddedStage) -> None:
    daemon = stage.daemon({"a": QUICK})
    stage.receiver.script("/fails", [Answer(500)])
    task = {"url": "/fails", "max_retries": 1, "roll_back": "/undo", "id": "x"}
    stage.publish("a", {"url": "/fine"}, task, {"url": "/later", "countdown": 3600})
    daemon.wait_for_event("task.rolled_back", task_id="x~rb")
    daemon.wait_for_event("task.failed", task_id="x")
    page = get(stage.port, "/metrics")[1]
    for line in (
        # A roll-back is a task as well.
        'webhook_runner_tasks_total{queue="a",reason="",state="succeeded"} 2.0',
        'webhook_runner_tasks_total{queue="a",reason="retries_exhausted",state="failed"} 1.0',
        'webhook_runner_attempts_total{class="5xx",queue="a"} 2.0',
        'webhook_runner_attempts_total{class="2xx",queue="a"} 2.0',
        'webhook_runner_rollback_total{outcome="delivered",queue="a"} 1.0',
        "webhook_runner_broker_up 1.0",
        "webhook_runner_scheduled 1.0",
    ):
        assert line in page.splitlines()


@pytest.mark.rabbitmq
def test_metrics_count_invalid_messages(rabbit_stage: RabbitStage) -> None:
    port = free_port()
    top = f'[api]\nlisten = "127.0.0.1:{port}"\n[log]\nformat = "json"\n'
    daemon = rabbit_stage.daemon({"a": QUICK}, top=top)
    rabbit_stage.publish("a", b"bad")
    daemon.wait_for_event("task.rejected")
    page = get(port, "/metrics")[1]
    line = 'webhook_runner_invalid_total{queue="a",reason="not_json"} 1.0'
    assert line in page.splitlines()


def test_a_paused_daemon_is_alive_but_not_ready(stage: EmbeddedStage) -> None:
    daemon = stage.daemon({"a": QUICK})
    status, page = get(stage.port, "/readyz")
    assert (status, json.loads(page)["parts"]) == (200, {"broker": "ok", "queue a": "ok"})
    mark = daemon.mark()
    daemon.signal(signal.SIGUSR1)
    daemon.wait_for_event("queue.stopped", after=mark)
    assert (get(stage.port, "/readyz")[0], get(stage.port, "/livez")[0]) == (503, 200)


def test_a_daemon_needs_no_file(stage: EmbeddedStage) -> None:
    if Path("/etc/taskqueue/taskqueue.ini").exists():
        pytest.skip("this machine has a configuration in the usual place")
    environment = {
        "TASKQUEUE_CONFIG_FILE": "",
        "WEBHOOK_RUNNER_SERVER": stage.url,
        "WEBHOOK_RUNNER_BASE_URL": stage.base,
        "WEBHOOK_RUNNER_API__LISTEN": stage.listen,
        "WEBHOOK_RUNNER_QUEUES__DEFAULT__CONCURRENCY": "3",
    }
    daemon = stage.daemon({}, environment=environment)
    stage.publish("default", {"url": "/fine"})
    stage.receiver.wait_for(1, "/fine")
    started = daemon.wait_for_event("daemon.started")
    assert started["queues"] == ["default"]
    assert any("no such file" in str(each.get("text")) for each in daemon.events)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield int(taken.getsockname()[1])


def test_a_port_in_use_ends_the_start_with_plain_words(stage: Stage, taken_port: int) -> None:
    top = f'[api]\nlisten = "127.0.0.1:{taken_port}"\n'
    daemon = stage.unready({"a": QUICK}, top=top)
    assert daemon.wait(20) == 2
    assert "cannot listen there" in daemon.tail()
    assert "Traceback" not in daemon.tail()


def test_a_bad_file_ends_the_start_with_every_problem(stage: Stage) -> None:
    daemon = stage.unready({"a": "concurrency = 0\ntimeout = -1"})
    assert daemon.wait(20) == 2
    text = daemon.tail()
    assert "concurrency" in text
    assert "timeout" in text
    assert "Traceback" not in text


@pytest.mark.rabbitmq
def test_a_wrong_password_is_told_and_tried_again_slowly(rabbit_stage: RabbitStage) -> None:
    with FaultProxy("127.0.0.1", rabbit_stage.node.port) as proxy:
        server = proxy.url_for(rabbit_stage.url).replace("guest:guest@", "guest:hunter2@")
        daemon = rabbit_stage.unready({"a": QUICK}, server=server)
        lost = daemon.wait_for_event("broker.lost")
        assert "ACCESS_REFUSED" in str(lost["error"]) or "refused" in str(lost["error"])
        assert float(str(lost["delay_s"])) >= 0.5
        assert proxy.connections <= 3
        assert "hunter2" not in "\n".join(daemon.lines)
        assert "Traceback" not in daemon.tail()
        assert daemon.terminate() == 0
