"""Ten kills at random moments while two hundred tasks of every kind are under way."""

import random
import threading
from collections import Counter
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.receiver import Answer, Receiver
from tests.parts.scene import Scene, add_vhost, attempts, by_id

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]

SEED = 20_261_122
TASKS = 200
KILLS = 10
CONCURRENCY = 10
LINES = f"""\
min_backoff_seconds = 0.2
max_doublings = 0
jitter = 0
concurrency = {CONCURRENCY}
max_redeliveries = 40
"""


@dataclass(slots=True)
class Sown:
    """A task that was published; ``requests`` is how many it needs without a crash."""

    path: str
    body: dict[str, object]
    queue: str
    named: bool
    requests: int = 1
    earliest: float = 0.0


def sow(number: int, dice: random.Random, receiver: Receiver) -> Sown:
    """Make a task of one of four kinds, on one of two queues, with or without an id."""
    path = f"/{number}"
    queue, named = dice.choice(["quorum", "classic"]), dice.random() < 0.7
    task = Sown(path, {"url": path}, queue, named)
    pause = dice.uniform(0.0, 0.2)
    receiver.script(path, [Answer(delay=pause)])
    kind = number % 4
    if kind == 1:
        task.body["countdown"] = dice.uniform(0.0, 3.0)
    elif kind == 2:
        receiver.script(path, [Answer(500, delay=pause), Answer(delay=pause)])
        task.requests = 2
    elif kind == 3:
        receiver.script(path, [Answer(500, delay=pause)])
        task.body |= {"max_retries": 1, "roll_back": f"/undo{path}"}
        task.requests = 2
    return task


def test_two_hundred_tasks_outlive_ten_kills(node: RabbitNode, receiver: Receiver) -> None:
    dice = random.Random(SEED)
    vhost = add_vhost(node, f"random-{uuid4().hex[:8]}")
    scene = Scene(node, vhost, receiver, queue_lines=LINES, queues=("quorum", "classic"))
    publisher.declare_classic(scene.direct_url, "classic")
    tasks = [sow(number, dice, receiver) for number in range(TASKS)]
    with scene.daemon() as daemon:
        daemon.ready()
        for round_ in range(KILLS):
            for task in tasks[round_::KILLS]:
                publish(scene, task)
            # Anywhere between the first request of a round and a good while after.
            threading.Event().wait(dice.uniform(0.05, 1.0))
            daemon.kill()
            mark = daemon.mark()
            daemon.start()
            daemon.ready(after=mark)
        scene.comes_to_rest(40)
    dead = Counter(
        letter.headers["wr-id"]
        for queue in scene.queues
        for letter in publisher.drain(scene.direct_url, f"wr.v1.dead.{queue}")
    )
    extra = sum(assert_ended(scene, task, number) for number, task in enumerate(tasks))
    assert extra <= 2 * KILLS * CONCURRENCY, f"{extra} requests too many; seed {SEED}"
    assert len(dead) >= TASKS // 4


def publish(scene: Scene, task: Sown) -> None:
    name = {"message_id": f"id-{task.path[1:]}"} if task.named else {}
    publisher.publish(scene.direct_url, task.queue, task.body, **name)


def assert_ended(scene: Scene, task: Sown, number: int) -> int:
    """Assert one end of a task; return how many requests a crash has added."""
    seen = scene.receiver.received(task.path)
    undone = scene.receiver.received(f"/undo{task.path}")
    assert len(seen) >= task.requests, f"{task} is not done; seed {SEED}"
    assert max(attempts(seen)) <= 2
    assert bool(undone) == (number % 4 == 3), task
    if task.named:
        assert set(by_id(seen)) == {f"id-{number}"}
        assert len(by_id(undone)) <= 1
    return len(seen) - task.requests
