"""Tasks that kill the daemon, or end too many deliveries: taken aside, their neighbours unharmed.

The waits before such a task is tried alone (60 s and more) are lowered by the start command, which
sets the two constants before it calls the entry point; all else is the daemon as it is.
"""

import signal
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pika
import pytest

from tests.parts import publisher
from tests.parts.daemon import Daemon
from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.node import RabbitNode
from tests.parts.receiver import Receiver
from tests.parts.scene import Scene, add_vhost, eventually

pytestmark = pytest.mark.system

IMPATIENT = (
    sys.executable,
    "-c",
    (
        "import sys; from webhook_runner.broker import apart; apart.WAIT_SECONDS = 1.5;"
        "from webhook_runner.policy import admission; admission.ALONE_WAIT = 0.2;"
        "admission.ALONE_TURN = 0.5;"
        "from webhook_runner.cli.app import main; sys.argv[1:] = ['serve']; main()"
    ),
)
DEADLY = """
import os

def strike(request, task):
    if "/deadly" in task.url:
        os._exit(9)
    return request
"""
# How often at most: the first death, one redelivery, three times alone, and as many to spare.
MOST_DEATHS = 14
NAMES = [f"/good-{number}" for number in range(5)]
DEADLY_LINES = 'max_redeliveries = 2\nextensions = ["deadly:strike"]\n'


@pytest.fixture(scope="module")
def poison_vhost(node: RabbitNode) -> str:
    name = add_vhost(node, f"poison-{uuid4().hex[:8]}")
    publisher.declare_classic(node.vhost_url(name), "classic")
    return name


@pytest.fixture
def scene(node: RabbitNode, poison_vhost: str, receiver: Receiver) -> Scene:
    return Scene(node, poison_vhost, receiver)


@pytest.mark.rabbitmq
@pytest.mark.parametrize("queue", ["quorum", "classic"])
def test_a_task_that_kills_the_daemon_fails_and_its_neighbours_succeed(
    scene: Scene, tmp_path: Path, queue: str
) -> None:
    scene.queues = (queue,)
    scene.queue_lines = DEADLY_LINES
    with deadly_daemon(scene.config(), tmp_path) as daemon:
        daemon.ready()
        publisher.publish(
            scene.direct_url, queue, {"url": "/deadly", "roll_back": "/undo"}, message_id="deadly"
        )
        publisher.publish_many(scene.direct_url, queue, [{"url": name} for name in NAMES])
        deaths = die_until_undone(scene.receiver, daemon)
        scene.comes_to_rest()
    assert_failed_alone(scene.receiver, deaths)
    dead = publisher.drain(scene.direct_url, f"wr.v1.dead.{queue}")
    assert [letter.headers["wr-reason"] for letter in dead] == ["crash_loop"]


def test_the_embedded_broker_takes_a_deadly_task_aside_too(
    stage: EmbeddedStage, tmp_path: Path
) -> None:
    bodies = [{"url": "/deadly", "roll_back": "/undo", "id": "deadly"}]
    bodies += [{"url": name} for name in NAMES]
    with deadly_daemon(stage.configuration({"a": DEADLY_LINES}), tmp_path) as daemon:
        daemon.ready()
        # It may die before it has answered, but all of them are kept by then.
        with suppress(ConnectionError):
            stage.publish("a", *bodies)
        deaths = die_until_undone(stage.receiver, daemon)
        stage.comes_to_rest()
    assert_failed_alone(stage.receiver, deaths)
    assert [letter.headers["wr-reason"] for letter in stage.dead("a")] == ["crash_loop"]


def deadly_daemon(config: str, tmp_path: Path) -> Daemon:
    (tmp_path / "deadly.py").write_text(DEADLY)
    python_path = f"{tmp_path}:{Path(__file__).resolve().parents[2]}"
    return Daemon(config, environment={"PYTHONPATH": python_path}, command=IMPATIENT)


def assert_failed_alone(receiver: Receiver, deaths: int) -> None:
    assert 4 <= deaths <= MOST_DEATHS
    (undo,) = receiver.received("/undo")
    assert undo.header("Webhook-Runner-Failure-Reason") == "crash_loop"
    assert receiver.received("/deadly") == []
    assert all(receiver.received(name) for name in NAMES)


def die_until_undone(receiver: Receiver, daemon: Daemon) -> int:
    """Start the daemon after each of its deaths until the roll-back came; count the deaths."""
    for deaths in range(MOST_DEATHS + 1):
        eventually(lambda: receiver.received("/undo") or daemon.returncode is not None, 30)
        if receiver.received("/undo"):
            return deaths
        assert daemon.wait(5) == 9
        daemon.start()
    raise AssertionError(f"no roll-back after {MOST_DEATHS} deaths; {daemon.tail()}")


@pytest.mark.rabbitmq
def test_a_task_past_the_brokers_delivery_limit_comes_back_alone(scene: Scene) -> None:
    # As an application may have declared it; max_redeliveries would have taken it aside before.
    scene.queues = ("limited",)
    publisher.declare_quorum(
        scene.direct_url,
        "limited",
        x_delivery_limit=2,
        x_dead_letter_exchange="wr.v1.poison",
    )
    with Daemon(scene.config(), command=IMPATIENT) as daemon:
        daemon.ready()
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for_event("queue.stopped", queue="limited")
        publisher.publish(scene.direct_url, "limited", {"url": "/limited"}, message_id="limited")
        return_it_until_it_is_gone(scene.direct_url, "limited")
        daemon.wait_for_event("warning", about="poison limited")
        daemon.signal(signal.SIGUSR2)
        (request,) = scene.receiver.wait_for(1, "/limited")
        assert request.header("Idempotency-Key") == "limited"
        scene.comes_to_rest()


def return_it_until_it_is_gone(url: str, queue: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    while True:
        method, _, _ = channel.basic_get(queue)
        if method is None:
            break
        channel.basic_nack(method.delivery_tag, requeue=True)
    connection.close()
