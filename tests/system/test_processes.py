"""One daemon of a parent and two workers, over a real RabbitMQ: one API, one page, exact limits."""

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.parts.node import RabbitNode
from tests.parts.ports import free_port
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Receiver
from tests.parts.scene import eventually
from tests.parts.stage import QUICK
from tests.parts.vhosts import VhostPool

pytestmark = [pytest.mark.system, pytest.mark.rabbitmq]

TASKS = 200
QUEUES = {
    "wide": f"concurrency = 20\n{QUICK}",
    "narrow": f"concurrency = 3\n{QUICK}",
    "single": f"concurrency = 1\n{QUICK}",
}


class Crew:
    """A daemon with two workers, and its API."""

    def __init__(self, stage: RabbitStage, top: str = "") -> None:
        self.stage = stage
        self.receiver = stage.receiver
        self.port = free_port()
        self.top = f"""processes = 2
{top}[api]
listen = "127.0.0.1:{self.port}"
[store]
url = "sqlite::memory:"
"""
        self.daemon = stage.daemon(QUEUES, top=self.top)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def json(self, method: str, path: str, body: object = None) -> dict[str, object]:
        return dict(json.loads(self.call(method, path, body)[1]))

    def counted(self, series: str) -> float:
        """Return the number of a series on the page of metrics; 0 when it is not there."""
        lines = self.call("GET", "/metrics")[1].splitlines()
        return next((float(x.rpartition(" ")[2]) for x in lines if x.startswith(series)), 0.0)

    def workers(self) -> dict[int, int]:
        """Return the pids of the workers that run, by their numbers."""
        found: dict[int, int] = {}
        for event in list(self.daemon.events):
            if event.get("event") == "worker.started":
                found[int(str(event["worker"]))] = int(str(event["worker_pid"]))
        return found

    def publish(self, queue: str, path: str, count: int) -> list[str]:
        names = [f"{path.strip('/')}-{number}" for number in range(count)]
        self.stage.publish(queue, *({"id": name, "url": path} for name in names))
        return names


@pytest.fixture(scope="module")
def crew(node: RabbitNode, _vhosts: VhostPool) -> Iterator[Crew]:
    with Receiver() as receiver, RabbitStage(node, _vhosts.take(), receiver) as stage:
        yield Crew(stage)


def calls(receiver: Receiver, path: str) -> Counter[str]:
    return Counter(each.header("Idempotency-Key") or "" for each in receiver.received(path))


def test_two_workers_carry_what_comes_and_one_page_counts_it(crew: Crew) -> None:
    names = crew.publish("wide", "/many", TASKS)
    crew.receiver.wait_for(TASKS, "/many", timeout=30)
    assert calls(crew.receiver, "/many") == Counter(names)
    done = 'webhook_runner_tasks_total{queue="wide",reason="",state="succeeded"}'
    eventually(lambda: crew.counted(done) == TASKS)
    ended = [e for e in crew.daemon.events if e["event"] == "task.succeeded"]
    assert {e["worker"] for e in ended} == {1, 2}
    assert crew.json("GET", "/v1/tasks/many-0")["state"] == "succeeded"
