"""One task of one kind of publisher on one kind of queue, and a daemon that dies with it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.parts import publisher
from tests.parts.daemon import Daemon
from tests.parts.node import RabbitNode
from tests.parts.proxy import FaultProxy
from tests.parts.receiver import Answer, Receiver, Request
from tests.parts.scene import Scene, add_vhost, attempts, by_id, doubted

QUICK = "min_backoff_seconds = 0.2\nmax_doublings = 0\njitter = 0\nmax_redeliveries = 20\n"
# A task without an id is published anew under one first, and the ack of its original may still be
# on its way when the request is: an answer that takes a while lets it arrive.
SLOWLY = [Answer(delay=0.3)]
ALWAYS_500 = [Answer(500, delay=0.3)]
SIGKILLED = -9


@dataclass(frozen=True, slots=True)
class Case:
    """One task of one kind of publisher on one kind of queue; every path is its own."""

    queue: str
    named: bool
    key: str
    scene: Scene

    @property
    def path(self) -> str:
        return f"/{self.key}"

    @property
    def undo(self) -> str:
        return f"/undo-{self.key}"

    def publish(self, **fields: object) -> float:
        """Publish the task and return the wall clock before."""
        before = time.time()
        name = {"message_id": self.key} if self.named else {}
        publisher.publish(self.scene.direct_url, self.queue, {"url": self.path, **fields}, **name)
        return before

    def requests(self) -> list[Request]:
        return self.scene.receiver.received(self.path)

    def undone(self) -> list[Request]:
        return self.scene.receiver.received(self.undo)

    def dead(self) -> list[publisher.Message]:
        letters = publisher.drain(self.scene.direct_url, f"wr.v1.dead.{self.queue}")
        return [letter for letter in letters if self.path.encode() in letter.body]


@pytest.fixture(scope="module")
def crash_vhost(node: RabbitNode) -> str:
    """One virtual host for all cases: the wheel of a fresh one takes seconds to declare."""
    name = add_vhost(node, f"crash-{uuid4().hex[:8]}")
    publisher.declare_classic(node.vhost_url(name), "classic")
    return name


@pytest.fixture
def scene(node: RabbitNode, crash_vhost: str, receiver: Receiver) -> Scene:
    fresh = Scene(node, crash_vhost, receiver, queue_lines=QUICK, queues=("quorum", "classic"))
    fresh.clear()
    return fresh


@pytest.fixture(params=["quorum-named", "quorum-unnamed", "classic-named", "classic-unnamed"])
def every_case(request: pytest.FixtureRequest, scene: Scene) -> Case:
    return make_case(str(request.param), scene)


@pytest.fixture(params=["quorum-named", "classic-unnamed"])
def case(request: pytest.FixtureRequest, scene: Scene) -> Case:
    return make_case(str(request.param), scene)


def make_case(words: str, scene: Scene) -> Case:
    queue, _, naming = words.partition("-")
    case = Case(queue, naming == "named", uuid4().hex, scene)
    scene.receiver.script(case.path, SLOWLY)
    return case


@pytest.fixture
def proxy(node: RabbitNode) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", node.port) as started:
        yield started


def crash_at(case: Case, failpoint: str, **fields: object) -> float:
    """Publish to a daemon that dies at the failpoint, start another, and let it come to rest."""
    with case.scene.daemon(failpoint) as daemon:
        daemon.ready()
        published = case.publish(**fields)
        assert daemon.wait(15) == SIGKILLED
        go_on(case, daemon)
    return published


def go_on(case: Case, daemon: Daemon) -> None:
    """Start it again without failpoints, and wait until nothing is left to do."""
    daemon.environment.clear()
    mark = daemon.mark()
    daemon.start()
    daemon.ready(after=mark)
    case.scene.comes_to_rest()


def assert_one_task(case: Case, requests: list[Request]) -> None:
    """Whatever came twice came under one id, with one attempt number, and said so."""
    assert len(by_id(requests)) == 1, [each.headers for each in requests]
    for number in set(attempts(requests)):
        again = [each for each in requests if attempts([each]) == [number]][1:]
        assert all(map(doubted, again)), [each.headers for each in again]
