"""One daemon of a parent and two workers, over a real RabbitMQ: one API, one page, exact limits."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.node import RabbitNode
from tests.parts.ports import free_port
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer, Receiver
from tests.parts.scene import eventually
from tests.parts.stage import QUICK
from tests.parts.vhosts import VhostPool

pytestmark = [pytest.mark.system, pytest.mark.rabbitmq]

TASKS = 200
MORE = 90
"""More than one worker fetches beforehand, who may begin a moment before the other."""

QUEUES = {
    "counted": f"concurrency = 20\n{QUICK}",
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

    def json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return dict(json.loads(self.call(method, path, body)[1]))

    def reload(self, queues: dict[str, str]) -> None:
        """Give the daemon other queues, and wait until it has them."""
        mark = self.daemon.mark()
        self.daemon.configure(self.stage.configuration(queues, top=self.top))
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_for_event("config.reloaded", after=mark)

    def restart(self) -> None:
        """Start the daemon that has ended, and wait until it is ready."""
        mark = self.daemon.mark()
        self.daemon.start()
        self.daemon.ready(after=mark, timeout=60)

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


def succeeded(queue: str) -> str:
    return f'webhook_runner_tasks_total{{queue="{queue}",reason="",state="succeeded"}}'


def calls(receiver: Receiver, path: str) -> Counter[str]:
    return Counter(each.header("Idempotency-Key") or "" for each in receiver.received(path))


def test_two_workers_carry_what_comes_and_one_page_counts_it(crew: Crew) -> None:
    names = crew.publish("counted", "/many", TASKS)
    crew.receiver.wait_for(TASKS, "/many", timeout=30)
    assert calls(crew.receiver, "/many") == Counter(names)
    eventually(lambda: crew.counted(succeeded("counted")) == TASKS)
    events = list(crew.daemon.events)
    ended = [e for e in events if e["event"] == "task.succeeded" and e["task_id"] in names]
    assert {e["worker"] for e in ended} == {1, 2}
    assert crew.json("GET", "/v1/tasks/many-0")["state"] == "succeeded"


@pytest.mark.parametrize(("queue", "most"), [("narrow", 3), ("single", 1)])
def test_no_more_run_at_once_than_the_queue_has_slots(crew: Crew, queue: str, most: int) -> None:
    path, receiver = f"/{queue}", crew.receiver
    receiver.script(path, [Answer(delay=0.02)])
    receiver.wait_until(lambda: receiver.in_flight == 0)
    receiver.peak_in_flight = 0
    crew.publish(queue, path, 40)
    receiver.wait_for(40, path, timeout=30)
    assert receiver.peak_in_flight == most


def test_a_limit_that_is_changed_is_divided_anew(crew: Crew) -> None:
    receiver = crew.receiver
    receiver.script("/changed", [Answer(hang=True)])
    eventually(lambda: crew.json("GET", "/v1/queues/single")["running"] == 0)
    crew.call("PATCH", "/v1/queues/single", {"concurrency": 5})
    crew.publish("single", "/changed", MORE)
    receiver.wait_until(lambda: receiver.in_flight == 5)
    assert crew.json("PATCH", "/v1/queues/single", {"concurrency": 2})
    receiver.peak_in_flight = 0
    receiver.release("/changed")
    receiver.wait_for(MORE, "/changed", timeout=30)
    assert receiver.peak_in_flight <= 5
    crew.call("PATCH", "/v1/queues/single", {"concurrency": None})


def test_what_is_cancelled_or_paused_is_so_in_both_workers(crew: Crew) -> None:
    receiver = crew.receiver
    receiver.script("/hangs", [Answer(hang=True)])
    names = crew.publish("wide", "/hangs", 20)
    receiver.wait_until(lambda: receiver.in_flight == 20)
    running = 'webhook_runner_in_flight{queue="wide"}'
    eventually(lambda: crew.counted(running) == 20)
    eventually(lambda: crew.json("GET", "/v1/queues/wide")["running"] == 20)
    assert crew.json("POST", "/v1/queues/wide/pause")["paused"] is True
    for name in names:
        assert crew.json("DELETE", f"/v1/tasks/{name}")["state"] == "cancelled"
    receiver.wait_until(lambda: receiver.in_flight == 0)
    crew.publish("wide", "/paused", 10)
    crew.stage.wait_for_depths("wide", 10, 0)
    crew.call("POST", "/v1/queues/wide/resume")
    receiver.wait_for(10, "/paused")


def test_a_worker_that_is_killed_is_missed_and_replaced_and_its_tasks_come_again(
    crew: Crew,
) -> None:
    receiver, daemon = crew.receiver, crew.daemon
    eventually(lambda: crew.call("GET", "/readyz")[0] == 200)
    ends, done = "webhook_runner_worker_ends_total", succeeded("wide")
    ended_before, done_before = crew.counted(ends), crew.counted(done)
    receiver.script("/dies", [*[Answer(hang=True)] * 10, Answer()])
    names = crew.publish("wide", "/dies", 10)
    receiver.wait_for(10, "/dies")
    mark, victim = daemon.mark(), crew.workers()[1]
    os.kill(victim, signal.SIGKILL)
    ended = daemon.wait_for_event("worker.ended", after=mark, worker=1)
    assert (ended["worker_pid"], ended["how"]) == (victim, "signal 9 (SIGKILL)")
    status, page = crew.call("GET", "/readyz")
    assert (status, json.loads(page)["parts"]["worker 1"]) == (503, "not running")
    daemon.ready(after=mark)
    assert crew.workers()[1] != victim
    receiver.release("/dies")
    states = [f"/v1/tasks/{name}" for name in names]
    eventually(lambda: {crew.json("GET", each)["state"] for each in states} == {"succeeded"})
    found = calls(receiver, "/dies")
    assert found.keys() == set(names)
    assert set(found.values()) == {1, 2}  # what the other worker had was not disturbed
    assert crew.counted(ends) == ended_before + 1
    eventually(lambda: crew.counted(done) >= done_before + len(names))


def test_destinations_are_shown_as_both_workers_see_them(crew: Crew) -> None:
    crew.publish("wide", "/seen", 1)
    crew.receiver.wait_for(1, "/seen")
    (here,) = eventually(lambda: crew.json("GET", "/v1/destinations")["items"])
    assert here["destination"] == f"127.0.0.1:{crew.receiver.port}"
    assert here["requests"] > 0
    assert crew.json("POST", f"/v1/destinations/{here['destination']}/open")["state"] == "open"
    crew.publish("wide", "/opened", 5)
    (here,) = eventually(lambda: crew.json("GET", "/v1/destinations?state=open")["items"])
    assert here["forced"] is True
    crew.call("POST", f"/v1/destinations/{here['destination']}/close")
    crew.receiver.wait_for(5, "/opened", timeout=40)


def test_news_of_the_workers_reach_those_who_listen(crew: Crew) -> None:
    url = f"http://127.0.0.1:{crew.port}/v1/events?state=succeeded"
    with urllib.request.urlopen(url, timeout=20) as stream:
        assert stream.readline() == b": listening\n"
        crew.receiver.script("/news", [Answer(delay=0.2)])
        crew.publish("wide", "/news", 1)
        told = (line.removeprefix(b"data: ") for line in stream if line.startswith(b"data: "))
        found = next(each for each in map(json.loads, told) if each["id"] == "news-0")
    assert found["state"] == "succeeded"


def test_a_reload_reaches_the_workers(crew: Crew) -> None:
    receiver = crew.receiver
    crew.reload({**QUEUES, "single": f"concurrency = 4\n{QUICK}", "fresh": QUICK})
    receiver.script("/reloaded", [Answer(hang=True)])
    crew.publish("single", "/reloaded", MORE)
    receiver.wait_until(lambda: receiver.in_flight == 4)
    receiver.release("/reloaded")
    receiver.wait_for(MORE, "/reloaded", timeout=30)
    crew.publish("fresh", "/fresh", 1)
    receiver.wait_for(1, "/fresh")
    crew.reload(QUEUES)


def test_a_daemon_that_is_told_to_stop_ends_in_order(crew: Crew) -> None:
    daemon, receiver = crew.daemon, crew.receiver
    receiver.script("/slow", [Answer(delay=0.5)])
    names = crew.publish("wide", "/slow", 60)
    receiver.wait_for(10, "/slow")
    pids = crew.workers().values()
    assert daemon.terminate() == 0
    assert daemon.events[-1]["event"] == "daemon.stopped"
    assert daemon.events[-1]["interrupted"] == 0
    assert not [pid for pid in pids if is_alive(pid)]
    crew.restart()
    receiver.wait_for(60, "/slow", timeout=60)
    assert calls(receiver, "/slow") == Counter(names)


def test_workers_do_not_outlive_their_parent(crew: Crew) -> None:
    pids = list(crew.workers().values())
    assert all(is_alive(pid) for pid in pids)
    crew.daemon.signal(signal.SIGKILL)
    eventually(lambda: not [pid for pid in pids if is_alive(pid)])
    crew.daemon.wait(10)
    crew.restart()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked for its end does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
