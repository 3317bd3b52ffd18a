"""Pause, resume and stop by signal: what runs may finish, what waits goes back, nothing is lost."""

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.parts.daemon import Daemon
from tests.parts.proxy import FaultProxy
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer
from tests.parts.stage import QUICK, Stage

pytestmark = pytest.mark.system

PAUSES = [(signal.SIGTSTP, signal.SIGCONT), (signal.SIGUSR1, signal.SIGUSR2)]


def hanging(stage: Stage, count: int, queue: str = "a") -> list[str]:
    """Publish tasks that hang and wait until one runs; return their ids."""
    stage.receiver.script("/hangs", [Answer(hang=True)])
    ids = [f"t{number}" for number in range(count)]
    stage.publish(queue, *({"url": "/hangs", "id": each} for each in ids))
    stage.receiver.wait_for(1, "/hangs")
    return ids


def requests_per_task(stage: Stage) -> Counter[str]:
    return Counter(str(each.header("Webhook-Runner-Task-Id")) for each in stage.receiver.requests)


def pending(daemon: Daemon) -> list[int]:
    """Return the masks of signals that the kernel has not handed over yet (proc(5))."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return [int(mask, 16) for mask in re.findall(r"(?:Sig|Shd)Pnd:\s*(\w+)", status)]


def test_a_paused_daemon_starts_nothing_and_loses_nothing(stage: Stage) -> None:
    daemon = stage.daemon({"a": "concurrency = 1"})
    for pause, resume in PAUSES:
        before, mark = len(stage.receiver.requests), daemon.mark()
        stage.receiver.hold()
        stage.receiver.script("/hangs", [Answer(hang=True)])
        ids = [f"{pause.name}-{number}" for number in range(4)]
        stage.publish("a", *({"url": "/hangs", "id": each} for each in ids[:3]))
        stage.receiver.wait_for(before + 1)
        daemon.signal(pause)
        daemon.wait_for_event("queue.stopped", after=mark)
        stage.wait_for_depths("a", 2, 1)
        stage.receiver.release()
        daemon.wait_for_event("task.succeeded", after=mark)
        stage.publish("a", {"url": "/hangs", "id": ids[3]})
        stage.wait_for_depths("a", 3, 0)
        assert len(stage.receiver.requests) == before + 1
        daemon.signal(resume)
        stage.receiver.wait_for(before + 4)
        stage.wait_until_empty("a")
        runs = requests_per_task(stage)
        assert {each: runs[each] for each in ids} == dict.fromkeys(ids, 1)


def test_a_task_may_be_given_back_many_times(stage: Stage) -> None:
    daemon = stage.daemon({"a": "concurrency = 1"})
    hanging(stage, 1)
    stage.publish("a", {"url": "/waits", "id": "waits"})
    daemon.wait_for_event("task.received", task_id="waits")
    for number in range(1, 7):
        mark = daemon.mark()
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for_event("task.released", after=mark, task_id="waits")
        daemon.signal(signal.SIGUSR2)
        # Once each time: it must not go to and fro while the queue is still consumed.
        daemon.wait_for_event("task.received", after=mark, task_id="waits")
        received = [each for each in daemon.events if each["event"] == "task.received"]
        assert received[-1]["redeliveries"] == number
    stage.receiver.release()
    (request,) = stage.receiver.wait_for(1, "/waits")
    assert request.header("Webhook-Runner-Attempt") == "1"


def test_the_last_of_many_pauses_and_resumes_counts(stage: Stage) -> None:
    daemon = stage.daemon({"a": QUICK, "b": QUICK})
    for _ in range(30):
        daemon.signal(signal.SIGUSR1)
        daemon.signal(signal.SIGUSR2)
    # Signals that are pending together arrive in any order: the last one waits for the others.
    while any(pending(daemon)):
        os.sched_yield()
    daemon.signal(signal.SIGUSR2)
    for queue in ("a", "b"):
        stage.publish(queue, {"url": f"/{queue}"})
        stage.receiver.wait_for(1, f"/{queue}")


def test_a_stop_lets_running_requests_finish(stage: Stage) -> None:
    daemon = stage.daemon({"a": "concurrency = 2"})
    ids = hanging(stage, 6)
    stage.receiver.wait_until(lambda: stage.receiver.in_flight == 2)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_event("daemon.draining", in_flight=6)
    stage.wait_for_depths("a", 4, 2)
    stage.receiver.release()
    assert daemon.wait(20) == 0
    daemon.wait_for_event("daemon.stopped", interrupted=0)
    assert stage.depths("a") == (4, 0)
    assert stage.receiver.aborted == []
    daemon.start()
    stage.receiver.wait_for(6)
    stage.wait_until_empty("a")
    assert requests_per_task(stage) == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("why", ["a second signal", "the timeout"])
def test_a_request_that_is_cut_off_is_sent_again(stage: Stage, why: str) -> None:
    seconds = 60 if why == "a second signal" else 0.5
    daemon = stage.daemon({"a": QUICK}, top=f"shutdown_timeout = {seconds}\n")
    hanging(stage, 1)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_event("daemon.draining")
    if why == "a second signal":
        daemon.signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    daemon.wait_for_event("daemon.stopped", interrupted=1)
    assert stage.depths("a") == (1, 0)
    stage.receiver.release()
    daemon.start()
    first, second = stage.receiver.wait_for(2, "/hangs")
    names = [f"Webhook-Runner-{name}" for name in ("Task-Id", "Attempt", "Possible-Duplicate")]
    assert [first.header(name) for name in names] == ["t0", "1", None]
    assert [second.header(name) for name in names] == ["t0", "1", "true"]
    stage.wait_until_empty("a")


@pytest.mark.parametrize("state", ["running", "between retries"])
def test_a_task_that_named_no_id_keeps_the_one_it_was_given(stage: Stage, state: str) -> None:
    daemon = stage.daemon({"a": "min_backoff_seconds = 2\njitter = 0"})
    running = state == "running"
    stage.receiver.script("/x", [Answer(hang=True) if running else Answer(500), Answer(200)])
    stage.publish("a", {"url": "/x"})
    stage.receiver.wait_for(1, "/x")
    if not running:
        daemon.wait_for_event("task.retry.scheduled")
    daemon.restart()
    requests = stage.receiver.wait_for(2, "/x")
    assert len({request.header("Webhook-Runner-Task-Id") for request in requests}) == 1


@pytest.mark.rabbitmq
@pytest.mark.parametrize("fault", ["refuse", "black_hole"])
def test_a_daemon_stops_in_order_without_its_broker(rabbit_stage: RabbitStage, fault: str) -> None:
    with FaultProxy("127.0.0.1", rabbit_stage.node.port) as proxy:
        server = proxy.url_for(rabbit_stage.url)
        daemon = rabbit_stage.daemon({"a": QUICK}, server=server, top="shutdown_timeout = 1\n")
        hanging(rabbit_stage, 1)
        mark = daemon.mark()
        if fault == "refuse":
            proxy.refuse()
            daemon.wait_for_event("broker.lost", after=mark)
        else:
            proxy.black_hole()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
        assert not any("Traceback" in line for line in daemon.lines)
        daemon.close()


@pytest.mark.rabbitmq
def test_an_interrupt_stops_a_daemon_that_never_had_a_broker(rabbit_stage: RabbitStage) -> None:
    daemon = rabbit_stage.unready({"a": QUICK}, server="amqp://127.0.0.1:1/")
    daemon.wait_for_event("broker.lost")
    daemon.signal(signal.SIGINT)
    assert daemon.wait(20) == 0
