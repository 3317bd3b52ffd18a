"""Tasks that enter by HTTP, on either broker: every answer, every byte, on time, none lost."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from uuid import uuid4

import pytest

from tests.parts.intake import Intake
from tests.parts.node import RabbitNode
from tests.parts.proxy import FaultProxy
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer, Receiver
from tests.parts.scene import add_vhost, eventually

pytestmark = pytest.mark.system

BROKERS = (pytest.param("rabbitmq", marks=pytest.mark.rabbitmq), "embedded")
LATEST = 5.0  # seconds; the machine of a test may be busy


def server_of(broker: str, request: pytest.FixtureRequest) -> str:
    if broker == "embedded":
        directory: Path = request.getfixturevalue("tmp_path")
        return f"embedded:{directory}/queue.db"
    stage: RabbitStage = request.getfixturevalue("rabbit_stage")
    return stage.url


@pytest.fixture(params=BROKERS)
def intake(request: pytest.FixtureRequest, receiver: Receiver) -> Iterator[Intake]:
    intake = Intake(server_of(request.param, request), receiver)
    with intake.daemon as daemon:
        daemon.ready()
        yield intake


def test_what_is_posted_arrives_byte_for_byte_under_its_id(intake: Intake) -> None:
    payload = '{"b":1.10, "a":1e2,"\\u00e9":"é"}'.encode()
    reply = intake.post(b'{"url":"/one","payload": ' + payload + b"}")
    assert reply.status == 202
    name = reply.json()["id"]
    assert reply.headers["location"] == f"/v1/tasks/{name}"
    (request,) = intake.receiver.wait_for(1, "/one")
    assert request.body == payload
    assert request.header("Webhook-Runner-Task-Id") == name
    assert request.header("Idempotency-Key") == name
    intake.daemon.wait_for_event("task.accepted", task_id=name)
    intake.daemon.wait_for_event("task.succeeded", task_id=name)
    assert not [each for each in intake.daemon.events if each["event"] == "task.forwarded"]
    page = intake.ask("GET", "/metrics").body.decode()
    assert 'webhook_runner_accepted_total{queue="default"} 1.0' in page


def test_each_task_of_an_array_is_answered_and_sent_for_itself(intake: Intake) -> None:
    bodies = [f'[{number}, "{"x" * number}"]'.encode() for number in range(50)]
    items = [
        b'{"url":"/many","payload":' + body + b', "id":"t%d"}' % number
        for number, body in enumerate(bodies)
    ]
    items[7] = b'{"url":"/many","queue":"nowhere"}'
    items[8] = b'{"url":"/many","queue":"other","id":"t8", "payload":' + bodies[8] + b"}"
    results = intake.post(b"[" + b",\n".join(items) + b"]").json()["results"]
    assert [each["status"] for each in results] == [202] * 7 + [422] + [202] * 42
    assert [results[8]["id"], results[8]["queue"]] == ["t8", "other"]
    assert results[7]["problem"]["errors"][0]["field"] == "queue"
    requests = intake.receiver.wait_for(49, "/many")
    sent = {each.header("Webhook-Runner-Task-Id"): each.body for each in requests}
    assert sent == {f"t{n}": body for n, body in enumerate(bodies) if n != 7}


def test_a_delayed_task_is_on_time_and_never_early(intake: Intake) -> None:
    before = time.time()
    due = before + 3.5
    tasks = [{"url": "/soon", "countdown": 0.3}, {"url": "/later", "eta": due}]
    assert {each["status"] for each in intake.post(tasks).json()["results"]} == {202}
    (soon,) = intake.receiver.wait_for(1, "/soon")
    (later,) = intake.receiver.wait_for(1, "/later")
    assert before + 0.3 <= soon.arrived_at
    assert due <= later.arrived_at <= due + LATEST


def test_a_failing_task_is_retried_under_the_same_id(intake: Intake) -> None:
    intake.receiver.script("/fails", [Answer(500), Answer()])
    name = intake.post({"url": "/fails", "id": "again"}).json()["id"]
    first, second = intake.receiver.wait_for(2, "/fails")
    assert [first.header("Webhook-Runner-Attempt"), second.header("Webhook-Runner-Attempt")] == [
        "1",
        "2",
    ]
    assert {first.header("Idempotency-Key"), second.header("Idempotency-Key")} == {name}


def test_a_trace_goes_on(intake: Intake) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    intake.post({"url": "/traced"}, traceparent=trace)
    (request,) = intake.receiver.wait_for(1, "/traced")
    assert str(request.header("traceparent"))[3:35] == trace[3:35]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"url=/x", {}, 400),
        (b"[{]", {}, 400),
        (b'{"url":"/x"}', {"Origin": "https://elsewhere.example"}, 403),
        (b'{"url":"/x"}', {"Host": "elsewhere.example"}, 403),
        (b'{"url":"/x","payload":"' + b"x" * 65536 + b'"}', {}, 413),
        (b"[" + b" " * 17 * 1024 * 1024 + b"]", {}, 413),
        (b'{"url":"/x"}', {"Content-Type": "text/plain"}, 415),
        (b'{"url":"/x","countdown":"10"}', {}, 422),
        (b"[]", {}, 422),
        (b"[" + b",".join([b"{}"] * 1001) + b"]", {}, 422),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_taken_is_a_problem(
    common_intake: Intake, content: bytes, headers: dict[str, str], status: int
) -> None:
    reply = common_intake.post(content, **headers)
    assert (reply.status, reply.json()["status"]) == (status, status)
    assert reply.headers["content-type"] == "application/problem+json"
    assert common_intake.post([{}, {}]).status == 422


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/tasks/nobody", 404),
        ("GET", "/v1/tasks?limit=0", 422),
        ("DELETE", "/v1/tasks", 405),
        ("POST", "/v1/nothing", 404),
    ],
)
def test_other_places_answer_with_problems_too(
    common_intake: Intake, method: str, path: str, status: int
) -> None:
    reply = common_intake.ask(method, path)
    assert (reply.status, reply.json()["status"]) == (status, status)
    assert ("allow" in reply.headers) == (status == 405)


@pytest.fixture(scope="module")
def common_intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    server = f"embedded:{tmp_path_factory.mktemp('intake')}/queue.db"
    with Receiver() as receiver:
        intake = Intake(server, receiver)
        with intake.daemon as daemon:
            daemon.ready()
            yield intake


def test_what_was_answered_with_202_survives_a_kill(intake: Intake) -> None:
    for number in range(4):
        later = {"countdown": 2} if number % 2 else {}
        tasks = [{"url": f"/kept-{number}", "id": f"k{number}-{n}", **later} for n in range(100)]
        results = intake.post(tasks).json()["results"]
        assert {each["status"] for each in results} == {202}
        mark = intake.daemon.mark()
        intake.daemon.restart()
        intake.daemon.ready(after=mark)
    wanted = {f"k{number}-{n}" for number in range(4) for n in range(100)}
    eventually(lambda: wanted <= ids(intake.receiver), 30)


def ids(receiver: Receiver) -> set[str]:
    return {str(each.header("Idempotency-Key")) for each in receiver.received()}


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize(
    ("point", "later", "kept"),
    [
        ("enqueue.before:1:kill", {}, 0),
        ("enqueue.after:1:kill", {}, 1),
        ("park.after:1:kill", {"countdown": 1}, 1),
        ("dispatch.before:1:kill", {}, 1),
    ],
)
def test_a_daemon_that_dies_over_a_task_runs_it_once_or_never_took_it(
    request: pytest.FixtureRequest,
    receiver: Receiver,
    broker: str,
    point: str,
    later: dict[str, object],
    kept: int,
) -> None:
    intake = Intake(server_of(broker, request), receiver)
    intake.daemon.environment["WEBHOOK_RUNNER_FAILPOINTS"] = point
    with intake.daemon as daemon:
        daemon.ready()
        with suppress(OSError, http.client.HTTPException):
            intake.post({"url": "/once", "id": "once", **later})
        assert daemon.wait(10) == -SIGKILL
        daemon.environment.clear()
        mark = daemon.mark()
        daemon.start()
        daemon.ready(after=mark)
        assert intake.post({"url": "/last", "countdown": 2}).status == 202
        receiver.wait_for(1, "/last")
        assert len(receiver.received("/once")) == kept


def test_a_daemon_that_stops_answers_503(intake: Intake) -> None:
    intake.receiver.script("/hangs", [Answer(hang=True)])
    intake.post({"url": "/hangs"})
    intake.receiver.wait_for(1, "/hangs")
    intake.daemon.signal(SIGTERM)
    intake.daemon.wait_for_event("daemon.draining")
    reply = intake.post({"url": "/x"})
    assert (reply.status, reply.json()["detail"]) == (503, "the daemon is stopping")
    assert int(reply.headers["retry-after"]) > 0
    intake.receiver.release()
    assert intake.daemon.wait(20) == 0
    assert intake.receiver.received("/x") == []


@pytest.mark.rabbitmq
def test_a_broker_that_is_gone_is_503_until_it_is_back(
    rabbit_stage: RabbitStage, receiver: Receiver
) -> None:
    with FaultProxy("127.0.0.1", rabbit_stage.node.port) as proxy:
        intake = Intake(
            proxy.url_for(rabbit_stage.url), receiver, "[broker]\nreconnect_max_seconds = 1"
        )
        with intake.daemon as daemon:
            daemon.ready()
            mark = daemon.mark()
            proxy.refuse()
            daemon.wait_for_event("broker.lost", after=mark)
            reply = intake.post({"url": "/x"})
            assert (reply.status, "connection" in reply.json()["detail"]) == (503, True)
            assert int(reply.headers["retry-after"]) > 0
            mark = daemon.mark()
            proxy.pass_through()
            daemon.wait_for_event("broker.connected", after=mark)
            eventually(lambda: intake.post({"url": "/back"}).status == 202)
            receiver.wait_for(1, "/back")


@pytest.mark.rabbitmq
def test_a_blocked_broker_is_503_until_it_is_not(own_node: RabbitNode, receiver: Receiver) -> None:
    intake = Intake(own_node.vhost_url(add_vhost(own_node, f"blocked-{uuid4().hex[:8]}")), receiver)
    with intake.daemon as daemon:
        daemon.ready()
        own_node.memory_alarm(on=True)
        try:
            eventually(lambda: "memory" in own_node.ctl("eval", "rabbit_alarm:get_alarms()."))
            # The first publish under the alarm is not confirmed: only then is the daemon told.
            replies = [intake.post([{"url": f"/blocked-{n}", "id": f"b{n}"}]) for n in range(2)]
            assert [each.status for each in replies] == [503, 503]
            texts = [json.dumps(each.json()) for each in replies]
            assert "not confirmed" in texts[0]
            assert "takes nothing now" in texts[1]
        finally:
            own_node.memory_alarm(on=False)
        daemon.wait_for_event("broker.unblocked")
        eventually(lambda: intake.post({"url": "/unblocked"}).status == 202)
        receiver.wait_for(1, "/unblocked")
        assert receiver.received("/blocked-1") == []
