"""`doctor` beside real brokers and daemons: it finds what is wrong, and leaves all as it was."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parts import publisher
from tests.parts.daemon import ROOT
from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.stage import QUICK, Stage

pytestmark = pytest.mark.system


def doctor(stage: Stage, file: Path, queues: dict[str, str], top: str = "") -> tuple[int, Any]:
    file.write_text(stage.configuration(queues, top=top))
    done = subprocess.run(
        [sys.executable, "-m", "webhook_runner", "doctor", "--config", file, "--output", "json"],
        capture_output=True,
        check=False,
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)["checks"]


def of(checks: Any, area: str) -> list[tuple[str, str]]:
    return [(each["verdict"], each["text"]) for each in checks if each["area"] == area]


@pytest.mark.rabbitmq
def test_a_queue_that_drifted_is_found(rabbit_stage: RabbitStage, tmp_path: Path) -> None:
    publisher.declare_classic(rabbit_stage.url, "old")
    queues = {"a": QUICK, "old": QUICK, "late": QUICK}
    daemon = rabbit_stage.daemon(dict.fromkeys(("a", "old"), QUICK))
    assert daemon.terminate() == 0
    rabbit_stage.publish("a", {"url": "/x"})
    listing = ("list_queues", "-p", rabbit_stage.vhost, "name", "arguments")
    before = sorted(rabbit_stage.node.ctl(*listing).splitlines())
    code, checks = doctor(rabbit_stage, tmp_path / "t.ini", queues)
    assert code == 0
    ((verdict, text),) = of(checks, "queue old")
    assert (verdict, "used as it is: its" in text) == ("warning", True)
    assert of(checks, "queue a") == [
        ("warning", "1 messages ready, 0 consumers: nobody takes them")
    ]
    assert [verdict for verdict, _ in of(checks, "rights")] == ["ok"]
    assert [verdict for verdict, _ in of(checks, "delays")] == ["ok"]
    ((verdict, text),) = of(checks, "objects")
    assert (verdict, text.startswith("missing: "), "late" in text) == ("note", True, True)
    rabbit_stage.node.delete_queue("wr.v1.wait.0.7", rabbit_stage.vhost)
    code, checks = doctor(
        rabbit_stage, tmp_path / "t.ini", queues, '[broker]\ntopology = "verify"\n'
    )
    assert code == 1
    assert of(checks, "objects")[0][0] == "problem"
    assert "wr.v1.wait.0.*: 63 of 64" in of(checks, "delays")[0][1]
    after = sorted(rabbit_stage.node.ctl(*listing).splitlines())
    assert after == [line for line in before if not line.startswith("wr.v1.wait.0.7\t")]
    rabbit_stage.wait_for_depths("a", 1, 0)


@pytest.mark.rabbitmq
def test_a_broker_that_is_not_there_is_found(rabbit_stage: RabbitStage, tmp_path: Path) -> None:
    rabbit_stage.url = "amqp://guest:hunter2@127.0.0.1:1/"
    code, checks = doctor(rabbit_stage, tmp_path / "t.ini", {"a": QUICK})
    assert code == 1
    ((verdict, text), _) = of(checks, "broker")
    assert (verdict, "amqp://127.0.0.1:1/" in text) == ("problem", True)
    assert "hunter2" not in json.dumps(checks)


def test_a_daemon_at_work_is_seen_and_not_disturbed(stage: EmbeddedStage, tmp_path: Path) -> None:
    daemon = stage.daemon({"a": QUICK})
    code, checks = doctor(stage, tmp_path / "t.ini", {"a": QUICK})
    assert code == 0
    assert f"process {daemon.pid} has it" in of(checks, "queue file")[0][1]
    assert of(checks, "http api") == [("ok", f"{stage.listen}: a daemon answers, and is ready")]
    stage.publish("a", {"url": "/x"})
    stage.receiver.wait_for(1, "/x")
    assert daemon.terminate() == 0
    code, checks = doctor(stage, tmp_path / "t.ini", {"a": QUICK})
    assert code == 0
    assert of(checks, "queue file") == [("ok", f"{stage.file} is sound; 0 tasks wait in it")]
    assert of(checks, "http api")[0][1].endswith("is free: no daemon runs there")
