"""The eleven defects of taskqueue, each as the behaviour that it must not take away again."""

import signal
import time
from collections import Counter
from itertools import pairwise

import pytest

from tests.parts.daemon import Daemon
from tests.parts.proxy import FaultProxy
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer, Receiver
from tests.parts.stage import QUICK, Stage, wait_for_events

pytestmark = pytest.mark.system

BAD = b'{"url": "/bad", '


@pytest.fixture(scope="module")
def daemon(shared_stage: Stage) -> Daemon:
    """The daemon of the tests that neither stop nor kill it."""
    slow = "min_backoff_seconds = 0.4\njitter = 0"
    return shared_stage.daemon({"quick": QUICK, "slow": slow, "idle": ""})


def attempts(receiver: Receiver, path: str) -> list[str | None]:
    return [request.header("Webhook-Runner-Attempt") for request in receiver.received(path)]


def test_a_task_with_a_future_eta_is_not_lost(
    shared_stage: Stage, daemon: Daemon, receiver: Receiver
) -> None:
    """Defect 1: an early delivery was refused without requeue, and so discarded."""
    eta = time.time() + 2.5  # more than may be held in process
    shared_stage.publish("quick", {"url": f"{receiver.url}/later", "eta": eta})
    daemon.wait_for_event("task.scheduled", reason="not_due")
    (request,) = receiver.wait_for(1, "/later")
    assert request.arrived_at >= eta
    shared_stage.wait_until_empty("quick")


def test_a_failed_task_is_retried_after_its_backoff(
    shared_stage: Stage, daemon: Daemon, receiver: Receiver
) -> None:
    """Defect 2: a retry that came back before its backoff had passed was discarded."""
    receiver.script("/flaky", [Answer(500), Answer(502), Answer(200)])
    shared_stage.publish("slow", {"url": f"{receiver.url}/flaky", "id": "flaky"})
    arrived = [request.arrived_monotonic for request in receiver.wait_for(3, "/flaky")]
    waits = [later - earlier for earlier, later in pairwise(arrived)]
    assert waits[0] >= 0.4
    assert waits[1] >= 0.8
    daemon.wait_for_event("task.succeeded", task_id="flaky", attempt=3)


@pytest.mark.rabbitmq
def test_a_malformed_message_stops_neither_the_queue_nor_the_next_start(
    rabbit_stage: RabbitStage,
) -> None:
    """Defect 3: the consumer waited for ever, and the message stayed for the next start."""
    daemon = rabbit_stage.daemon({"a": "concurrency = 1"})
    rabbit_stage.publish("a", BAD, {"url": "/first"})
    rabbit_stage.receiver.wait_for(1, "/first")
    rabbit_stage.wait_until_empty("a")
    daemon.kill()
    rabbit_stage.publish("a", BAD, BAD, {"url": "/second"})
    daemon.start()
    rabbit_stage.receiver.wait_for(1, "/second")
    rabbit_stage.wait_until_empty("a")
    assert [message.body for message in rabbit_stage.invalid("a")] == [BAD] * 3


@pytest.mark.parametrize("trouble", ["refused", "reset"])
def test_an_endpoint_that_cannot_be_reached_does_not_stop_the_queue(
    shared_stage: Stage, daemon: Daemon, receiver: Receiver, trouble: str
) -> None:
    """Defect 4: two refusals of one delivery closed the channel, and with it the queue."""
    receiver.script("/reset", [Answer(reset=True), Answer(reset=True), Answer(200)])
    with FaultProxy("127.0.0.1", receiver.port) as proxy:
        if trouble == "refused":
            proxy.refuse()
        url = proxy.url_for(f"{receiver.url}/{trouble}")
        shared_stage.publish("quick", {"url": url, "id": trouble})
        wait_for_events(daemon, 2, "task.retry.scheduled", task_id=trouble)
        shared_stage.publish("quick", {"url": f"{receiver.url}/other"})
        receiver.wait_for(1, "/other")
        proxy.pass_through()
        receiver.wait_for(1, f"/{trouble}")
        daemon.wait_for_event("task.succeeded", task_id=trouble)


def test_a_task_without_retries_left_ends_and_the_daemon_lives(stage: Stage) -> None:
    """Defect 5: the log line of the last failure crashed the process, again at each start."""
    daemon = stage.daemon({"a": QUICK})
    stage.receiver.script("/fails", [Answer(500)])
    task: dict[str, object] = {"url": "/fails", "max_retries": 1, "id": "fails"}
    stage.publish("a", task, {"url": "/fine"})
    daemon.wait_for_event("task.failed", task_id="fails", attempts=2)
    stage.receiver.wait_for(1, "/fine")
    stage.wait_until_empty("a")
    assert daemon.returncode is None
    mark = daemon.mark()
    daemon.restart()
    daemon.ready(after=mark)
    stage.publish("a", {"url": "/after"})
    stage.receiver.wait_for(1, "/after")
    assert len(stage.receiver.received("/fails")) == 2


def test_each_ack_is_for_its_own_delivery(stage: Stage) -> None:
    """Defect 6: running goroutines shared a variable, so acks went to other deliveries."""
    daemon = stage.daemon({"a": "concurrency = 20"})
    ids = [f"{'hangs' if number % 2 else 'ends'}-{number}" for number in range(20)]
    stage.receiver.script("/hangs", [Answer(hang=True)])
    tasks = [{"url": f"/{each.partition('-')[0]}", "id": each, "payload": each} for each in ids]
    stage.publish("a", *tasks)
    stage.receiver.wait_for(20)
    stage.wait_for_depths("a", 0, 10)
    daemon.kill()
    stage.receiver.release()
    daemon.start()
    stage.receiver.wait_for(20, "/hangs")
    stage.wait_until_empty("a")
    # Had one ack gone astray, an ended task would run again in place of one that hung.
    requests = stage.receiver.received()
    assert {request.header("Webhook-Runner-Task-Id") for request in requests} == set(ids)
    runs = Counter(request.body.decode() for request in requests)
    assert runs == {each: 2 if each.startswith("hangs") else 1 for each in ids}


def test_a_finished_task_is_acked_while_its_queue_is_idle(
    shared_stage: Stage, daemon: Daemon, receiver: Receiver
) -> None:
    """Defect 7: acks were sent only when the next message arrived."""
    shared_stage.publish("idle", *({"url": f"{receiver.url}/idle"} for _ in range(3)))
    receiver.wait_for(3, "/idle")
    wait_for_events(daemon, 3, "task.succeeded", queue="idle")
    shared_stage.wait_until_empty("idle")


def test_tasks_without_a_message_id_count_their_own_retries(
    shared_stage: Stage, daemon: Daemon, receiver: Receiver
) -> None:
    """Defect 8: counters, eta and limit were kept by message_id, which nobody sets."""
    wanted = {"/none": 0, "/one": 1, "/three": 3}
    for path in wanted:
        receiver.script(path, [Answer(500)])
    tasks = ({"url": receiver.url + path, "max_retries": n} for path, n in wanted.items())
    shared_stage.publish("quick", *tasks)
    receiver.wait_for(4, "/three")
    for path, retries in wanted.items():
        daemon.wait_for_event("task.failed", attempts=retries + 1)
        assert attempts(receiver, path) == [str(n + 1) for n in range(retries + 1)]
    ids = {request.header("Webhook-Runner-Task-Id") for request in receiver.received()}
    assert len(ids) == len(wanted)


def test_the_count_of_retries_survives_the_daemon(stage: Stage) -> None:
    """Defect 9: it was kept in the process, so a new one began to count anew."""
    daemon = stage.daemon({"a": "min_backoff_seconds = 2\nmax_backoff_seconds = 2\njitter = 0"})
    stage.receiver.script("/fails", [Answer(500)])
    stage.publish("a", {"url": "/fails", "id": "x", "max_retries": 2})
    daemon.wait_for_event("task.retry.scheduled", task_id="x", attempt=2)
    stage.wait_until_empty("a")
    daemon.restart()
    stage.receiver.wait_for(2, "/fails")
    daemon.wait_for_event("task.retry.scheduled", task_id="x", attempt=3)
    stage.wait_until_empty("a")
    daemon.restart()
    daemon.wait_for_event("task.failed", task_id="x", attempts=3)
    assert attempts(stage.receiver, "/fails") == ["1", "2", "3"]


@pytest.mark.rabbitmq
def test_two_daemons_share_the_count_of_retries(rabbit_stage: RabbitStage) -> None:
    """Defect 9: each process counted for itself."""
    # Forty failures of one host would open its breaker.
    off = "[breaker]\nenabled = false\n"
    pair = [rabbit_stage.daemon({"a": QUICK}, top=off) for _ in range(2)]
    rabbit_stage.receiver.script("/fails", [Answer(500)])
    ids = [f"t{number}" for number in range(10)]
    rabbit_stage.publish("a", *({"url": "/fails", "id": each, "max_retries": 3} for each in ids))
    rabbit_stage.receiver.wait_for(40, "/fails")
    rabbit_stage.wait_until_empty("a")
    seen = Counter(
        (request.header("Webhook-Runner-Task-Id"), request.header("Webhook-Runner-Attempt"))
        for request in rabbit_stage.receiver.received("/fails")
    )
    assert seen == {(each, str(n)): 1 for each in ids for n in range(1, 5)}
    assert sorted(str(letter.headers["wr-id"]) for letter in rabbit_stage.dead("a")) == sorted(ids)
    assert all("task.attempt.started" in {e["event"] for e in each.events} for each in pair)


def test_a_backlog_stays_in_the_broker_and_a_stop_leaves_it_there(stage: Stage) -> None:
    """Defect 10: no prefetch limit and no graceful stop."""
    daemon = stage.daemon({"a": "concurrency = 2"})
    stage.receiver.script("/hangs", [Answer(hang=True)])
    stage.publish("a", *({"url": "/hangs", "id": f"t{number}"} for number in range(200)))
    stage.receiver.wait_for(2, "/hangs")
    stage.wait_for_depths("a", 150, 50)
    assert stage.receiver.in_flight == 2
    mark = daemon.mark()
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_event("daemon.draining", after=mark)
    stage.receiver.release()
    assert daemon.wait(20) == 0
    assert len(stage.receiver.received()) == 2
    assert stage.depths("a") == (198, 0)


@pytest.mark.rabbitmq
def test_a_lost_connection_is_made_again(rabbit_stage: RabbitStage) -> None:
    """Defect 10: no reconnect, and channels closed while senders still ran."""
    with FaultProxy("127.0.0.1", rabbit_stage.node.port) as proxy:
        daemon = rabbit_stage.daemon(
            {"a": "concurrency = 5"}, server=proxy.url_for(rabbit_stage.url)
        )
        rabbit_stage.receiver.script("/hangs", [Answer(hang=True)])
        rabbit_stage.publish("a", {"url": "/hangs", "id": "during"})
        rabbit_stage.receiver.wait_for(1, "/hangs")
        mark = daemon.mark()
        proxy.cut()
        daemon.wait_for_event("broker.lost", after=mark)
        rabbit_stage.publish("a", {"url": "/meanwhile"})
        daemon.ready(after=mark)
        rabbit_stage.receiver.wait_for(1, "/meanwhile")
        rabbit_stage.receiver.release()
        rabbit_stage.wait_until_empty("a")
        # The outcome was still known to the process that had sent the request.
        assert len(rabbit_stage.receiver.received("/hangs")) == 1
        daemon.close()


def test_an_exhausted_task_is_kept_and_rolled_back(
    shared_stage: Stage, daemon: Daemon, receiver: Receiver
) -> None:
    """Defect 11: it vanished without a trace."""
    receiver.script("/fails", [Answer(503)])
    task: dict[str, object] = {"url": f"{receiver.url}/fails", "id": "gone", "max_retries": 1}
    task |= {"payload": {"n": 1}, "roll_back": f"{receiver.url}/undo"}
    shared_stage.publish("quick", task)
    (undo,) = receiver.wait_for(1, "/undo")
    assert undo.header("Webhook-Runner-Task-Id") == "gone"
    assert undo.header("Webhook-Runner-Event") == "rollback"
    assert undo.header("Webhook-Runner-Failure-Reason") == "retries_exhausted"
    daemon.wait_for_event("task.failed", task_id="gone", attempts=2)
    letters = {str(each.headers["wr-id"]): each for each in shared_stage.dead("quick")}
    assert letters["gone"].headers["wr-reason"] == "retries_exhausted"
    assert letters["gone"].headers["wr-last-status"] == 503
    assert len(receiver.received("/fails")) == 2
