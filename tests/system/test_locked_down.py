"""A virtual host whose objects an administrator imported, and a user who may declare nothing."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.receiver import Answer, Receiver
from tests.parts.scene import Scene, add_vhost
from webhook_runner.broker.amqp.topology import definitions

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]


@pytest.fixture(scope="module")
def locked_vhost(node: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Import the exported definitions, and give a user exactly the permissions they hint at."""
    name = add_vhost(node, "locked")
    exported = definitions("wr.v1", ("quorum",), name)
    hinted = exported.pop("permissions")
    assert isinstance(hinted, list)
    rights: Mapping[str, str] = hinted[0]
    path: Path = tmp_path_factory.mktemp("definitions") / "definitions.json"
    path.write_text(json.dumps(exported))
    node.ctl("import_definitions", str(path))
    node.ctl("add_user", "confined", "confined")
    node.ctl(
        *("set_permissions", "-p", name, "confined"),
        *(rights[each] for each in ("configure", "write", "read")),
    )
    return name


@pytest.mark.parametrize("topology", ["verify", "none"])
def test_a_confined_user_runs_retries_parks_and_rolls_back(
    node: RabbitNode, locked_vhost: str, receiver: Receiver, topology: str
) -> None:
    scene = Scene(
        node,
        locked_vhost,
        receiver,
        queue_lines="min_backoff_seconds = 2\njitter = 0\n",
        broker_lines=f'topology = "{topology}"\n',
    )
    scene.url = scene.direct_url.replace("guest:guest@", "confined:confined@")
    receiver.script("/fails", [Answer(500)])
    with scene.daemon() as daemon:
        daemon.ready()
        tasks: list[dict[str, object]] = [
            {"url": "/now"},
            {"url": "/later", "countdown": 100},
            {"url": "/soon", "countdown": 2},
            {"url": "/fails", "max_retries": 1, "roll_back": "/undo"},
        ]
        for task in tasks:
            publisher.publish(scene.direct_url, "quorum", task)
        publisher.publish(scene.direct_url, "quorum", b"not a task")
        for path in ("/now", "/soon", "/undo"):
            receiver.wait_for(1, path)
        daemon.wait_for_event("task.rejected")
        assert daemon.terminate() == 0
    publisher.drain(scene.direct_url, "wr.v1.dead.quorum")
    assert len(publisher.drain(scene.direct_url, "wr.v1.invalid.quorum")) == 1
    assert sum(name.startswith("wr.v1.wait.1.") for name in scene.under_way()) >= 1


def test_a_missing_object_is_named_where_nothing_may_be_declared(
    node: RabbitNode, receiver: Receiver
) -> None:
    scene = Scene(node, add_vhost(node, "bare"), receiver, broker_lines='topology = "verify"\n')
    with scene.daemon() as daemon:
        warning = daemon.wait_for_event("warning", about="topology")
        assert "is missing" in str(warning["text"])
        assert "webhook-runner topology" in str(warning["text"])
        assert daemon.wait(10) == 78
