"""The commands that speak to a broker, against a real one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.node import RabbitNode
from tests.parts.publisher import declare_quorum, drain

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]


def command(*arguments: str, server: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WEBHOOK_RUNNER_")}
    return subprocess.run(
        [sys.executable, "-m", "webhook_runner", *arguments],
        env=clean | {"WEBHOOK_RUNNER_SERVER": server},
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_sent_task_is_in_its_queue(vhost_url: str) -> None:
    declare_quorum(vhost_url, "default")
    text = '{"url": "http://h/", "id": "one"}\n{"url":  "http://h/", "id": "two"}'
    result = command("send", "-", "--output", "json", server=vhost_url, stdin=text)
    assert result.returncode == 0, result.stderr
    assert [each["id"] for each in json.loads(result.stdout)] == ["one", "two"]
    messages = drain(vhost_url, "default")
    assert [message.body for message in messages] == [line.encode() for line in text.splitlines()]
    assert [message.properties.message_id for message in messages] == ["one", "two"]
    assert {message.properties.delivery_mode for message in messages} == {2}


def test_a_queue_that_does_not_exist_is_exit_3(vhost_url: str) -> None:
    declare_quorum(vhost_url, "there")
    text = '{"url": "http://h/", "queue": "there"}\n{"url": "http://h/", "queue": "not"}'
    result = command("send", "-", server=vhost_url, stdin=text)
    assert result.returncode == 3
    assert "error: the broker has no queue 'not'" in result.stderr
    assert "warning: 1 of 2 messages were sent" in result.stderr
    assert len(drain(vhost_url, "there")) == 1


def test_a_wrong_password_is_exit_69_and_is_not_shown(vhost_url: str) -> None:
    head, _, rest = vhost_url.partition("@")
    result = command("send", "http://h/", server=f"{head}wrong@{rest}")
    assert result.returncode == 69
    assert "error: " in result.stderr
    assert "wrong@" not in result.stderr


def test_the_definitions_can_be_imported(node: RabbitNode, vhost_url: str, tmp_path: Path) -> None:
    result = command("topology", "--output", "json", server=vhost_url)
    assert result.returncode == 0, result.stderr
    file = tmp_path / "definitions.json"
    file.write_text(result.stdout)
    node.ctl("import_definitions", str(file))
    sent = command("send", "http://h/", server=vhost_url)
    assert sent.returncode == 0, sent.stderr
    assert len(drain(vhost_url, "default")) == 1
