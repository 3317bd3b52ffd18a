"""One task of one kind of publisher on one kind of queue, and a daemon that dies with it."""

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

import pytest

from tests.parts import publisher
from tests.parts.daemon import Daemon
from tests.parts.node import RabbitNode
from tests.parts.proxy import FaultProxy
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer, Receiver, Request
from tests.parts.scene import add_vhost, attempts, by_id, doubted
from tests.parts.stage import SetAside, Stage

QUICK = "min_backoff_seconds = 0.2\nmax_doublings = 0\njitter = 0\nmax_redeliveries = 20\n"
# A task without an id is published anew under one first, and the ack of its original may still be
# on its way when the request is: an answer that takes a while lets it arrive.
SLOWLY = [Answer(delay=0.3)]
ALWAYS_500 = [Answer(500, delay=0.3)]
SIGKILLED = -9
EMBEDDED = ["embedded-named", "embedded-unnamed"]
AMQP_QUEUES = ("quorum", "classic")


@dataclass(frozen=True, slots=True)
class Case:
    """One task of one kind of publisher on one kind of queue; every path is its own."""

    queue: str
    named: bool
    key: str
    stage: Stage
    store: str = ""

    @property
    def path(self) -> str:
        return f"/{self.key}"

    @property
    def undo(self) -> str:
        return f"/undo-{self.key}"

    @property
    def embedded(self) -> bool:
        return self.queue == "embedded"

    @property
    def receiver(self) -> Receiver:
        return self.stage.receiver

    def daemon(self, failpoints: str = "", *, server: str = "", lines: str = "") -> Daemon:
        """Start a daemon and wait until it is ready."""
        armed = {"WEBHOOK_RUNNER_FAILPOINTS": failpoints} if failpoints else {}
        queues = dict.fromkeys(("embedded",) if self.embedded else AMQP_QUEUES, QUICK + lines)
        top = f"[store]\nurl = {json.dumps(self.store)}\n" if self.store else ""
        return self.stage.daemon(queues, server=server, top=top, environment=armed)

    def publish(self, **fields: object) -> float:
        """Publish the task and return the wall clock before."""
        before = time.time()
        body = {"url": self.path, **fields}
        if isinstance(self.stage, RabbitStage):
            name = {"message_id": self.key} if self.named else {}
            self.stage.publish(self.queue, body, **name)
        else:
            name = {"id": self.key} if self.named else {}
            self.stage.publish(self.queue, {**name, **body})
        return before

    def nth(self, point: str, number: int = 1) -> str:
        """Return the failpoint of the ``number``th such call that comes after the task's own id.

        A message without an id is published anew and acknowledged before; a task that comes by
        HTTP has been published by the daemon itself.
        """
        call = point.partition(".")[0]
        earlier = call == "enqueue" if self.embedded else call in {"enqueue", "ack"}
        if earlier and (self.embedded or not self.named):
            number += 1
        return f"{point}:{number}:kill"

    def requests(self) -> list[Request]:
        return self.receiver.received(self.path)

    def undone(self) -> list[Request]:
        return self.receiver.received(self.undo)

    def dead(self) -> list[SetAside]:
        return [each for each in self.stage.dead(self.queue) if self.path.encode() in each.body]


class Cases(Protocol):
    """Makes the case that two words name: a kind of queue, and of publisher."""

    def __call__(self, words: str) -> Case: ...


@pytest.fixture(scope="module")
def crash_vhost(node: RabbitNode) -> str:
    """One virtual host for all cases: the wheel of a fresh one takes seconds to declare."""
    name = add_vhost(node, f"crash-{uuid4().hex[:8]}")
    publisher.declare_classic(node.vhost_url(name), "classic")
    return name


@pytest.fixture
def crash_stage(node: RabbitNode, crash_vhost: str, receiver: Receiver) -> Iterator[RabbitStage]:
    with RabbitStage(node, crash_vhost, receiver) as fresh:
        fresh.clear()
        yield fresh


@pytest.fixture
def make_case(request: pytest.FixtureRequest) -> Cases:
    def make(words: str) -> Case:
        queue, _, naming = words.partition("-")
        stage = request.getfixturevalue("stage" if queue == "embedded" else "crash_stage")
        case = Case(queue, naming == "named", uuid4().hex, stage)
        stage.receiver.script(case.path, SLOWLY)
        return case

    return make


def amqp(*names: str) -> list[object]:
    return [pytest.param(name, marks=pytest.mark.rabbitmq) for name in names]


@pytest.fixture(
    params=[
        *EMBEDDED,
        *amqp("quorum-named", "quorum-unnamed", "classic-named", "classic-unnamed"),
    ]
)
def every_case(request: pytest.FixtureRequest, make_case: Cases) -> Case:
    return make_case(str(request.param))


@pytest.fixture(params=[*EMBEDDED, *amqp("quorum-named", "classic-unnamed")])
def case(request: pytest.FixtureRequest, make_case: Cases) -> Case:
    return make_case(str(request.param))


@pytest.fixture(params=amqp("quorum-named", "classic-unnamed"))
def amqp_case(request: pytest.FixtureRequest, make_case: Cases) -> Case:
    return make_case(str(request.param))


@pytest.fixture
def proxy(node: RabbitNode) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", node.port) as started:
        yield started


def crash_at(case: Case, failpoint: str, **fields: object) -> float:
    """Publish to a daemon that dies at the failpoint, start another, and let it come to rest.

    Where it dies while the task is handed in by HTTP, the publisher has no answer.
    """
    daemon = case.daemon(failpoint)
    published = time.time()
    with suppress(ConnectionError) if case.embedded else nullcontext():
        case.publish(**fields)
    assert daemon.wait(15) == SIGKILLED
    go_on(case, daemon)
    return published


def go_on(case: Case, daemon: Daemon) -> None:
    """Start it again without failpoints, and wait until nothing is left to do."""
    daemon.environment.clear()
    mark = daemon.mark()
    daemon.start()
    daemon.ready(after=mark)
    case.stage.comes_to_rest()


def assert_one_task(case: Case, requests: list[Request]) -> None:
    """Whatever came twice came under one id, with one attempt number, and said so."""
    assert len(by_id(requests)) == 1, [each.headers for each in requests]
    for number in set(attempts(requests)):
        again = [each for each in requests if attempts([each]) == [number]][1:]
        assert all(map(doubted, again)), [each.headers for each in again]
