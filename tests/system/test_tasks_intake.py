"""Which AMQP messages become tasks, on which queues, and where the others go."""

import json
import time

import pytest

from tests.parts import publisher
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Receiver

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]


@pytest.fixture
def common(rabbit_common: RabbitStage) -> RabbitStage:
    """The common stage on RabbitMQ."""
    return rabbit_common


def test_an_invalid_message_names_the_field_and_keeps_its_properties(
    common: RabbitStage, receiver: Receiver
) -> None:
    bad = {"url": f"{receiver.url}/x", "max_retries": "3", "roll_back": f"{receiver.url}/undo"}
    headers = {"x-team": "billing", "team": "billing", "wr-error": "forged"}
    common.publish("ok200", bad, message_id="m-1", correlation_id="c-1", headers=headers)
    common.first.wait_for_event("task.rejected", queue="ok200", field="max_retries")
    common.wait_until_empty("ok200")
    (message,) = publisher.drain(common.url, "wr.v1.invalid.ok200")
    assert json.loads(message.body) == bad
    assert message.headers["wr-field"] == "max_retries"
    assert message.headers["wr-error"] == "wrong_type"
    assert message.headers["team"] == "billing"
    assert message.properties.message_id == "m-1"
    assert message.properties.correlation_id == "c-1"
    assert receiver.requests == []


def test_a_task_is_moved_to_the_queue_it_names(common: RabbitStage, receiver: Receiver) -> None:
    task = {"url": f"{receiver.url}/moved", "queue": "ok200", "payload": [1.0], "countdown": 0.3}
    common.publish("plain", task)
    (request,) = receiver.wait_for(1, "/moved")
    assert request.header("Webhook-Runner-Queue") == "ok200"
    assert request.header("Webhook-Runner-Attempt") == "1"
    assert request.body == b"[1.0]"
    common.wait_until_empty("plain")
    common.wait_until_empty("ok200")


def test_a_task_for_an_unknown_queue_is_set_aside(common: RabbitStage, receiver: Receiver) -> None:
    task = {"url": f"{receiver.url}/x", "queue": "nowhere"}
    common.publish("smart", task)
    common.first.wait_for_event("task.rejected", queue="smart", reason="unknown_queue")
    common.wait_until_empty("smart")
    (message,) = common.invalid("smart")
    assert (message.headers["wr-error"], message.headers["wr-field"]) == ("unknown_queue", "queue")
    assert receiver.requests == []


def test_state_that_a_publisher_writes_is_not_believed(
    common: RabbitStage, receiver: Receiver
) -> None:
    forged = {"wr-v": 1, "wr-id": "forged", "wr-run": 1, "wr-attempt": 9, "wr-gen": 7}
    forged |= {"wr-due": 4102444800000, "wr-queue": "ok200", "wr-kind": "rollback"}
    forged |= {"wr-first": 1769848200000, "wr-doubtful": 1, "wr-deaths": 99, "wr-alone": 3}
    forged |= {"x-delivery-count": 40}
    common.publish("plain", {"url": f"{receiver.url}/here", "max_retries": 0}, headers=forged)
    (request,) = receiver.wait_for(1, "/here")
    found = {name: value for name, value in request.headers if name.startswith("Webhook-Runner-")}
    assert found.pop("Webhook-Runner-Task-Id") != "forged"
    assert found == {
        "Webhook-Runner-Queue": "plain",
        "Webhook-Runner-Event": "task",
        "Webhook-Runner-Attempt": "1",
        "Webhook-Runner-Retry-Count": "0",
        "Webhook-Runner-Max-Retries": "0",
    }


def test_a_transient_message_is_taken_too(common: RabbitStage, receiver: Receiver) -> None:
    common.publish("plain", {"url": f"{receiver.url}/here"}, delivery_mode=1, content_type=None)
    receiver.wait_for(1, "/here")


def test_the_queues_of_an_application_are_adopted_and_missing_ones_are_made(
    rabbit_stage: RabbitStage,
) -> None:
    publisher.declare_classic(rabbit_stage.url, "theirs")
    rabbit_stage.publish("theirs", *({"url": "/waited", "payload": n} for n in range(3)))
    daemon = rabbit_stage.daemon({"theirs": "", "ours": ""})
    rabbit_stage.publish("theirs", {"url": "/new", "countdown": 1.3})
    assert {each.body for each in rabbit_stage.receiver.wait_for(3, "/waited")} == {
        b"0",
        b"1",
        b"2",
    }
    rabbit_stage.receiver.wait_for(1, "/new")
    rabbit_stage.wait_until_empty("theirs")
    warning = daemon.wait_for_event("warning", about="queue theirs differs")
    assert "used as it is" in str(warning["text"])
    assert arguments_of(rabbit_stage) == {
        "theirs": {"x-queue-type": "classic"},
        "ours": {
            "x-queue-type": "quorum",
            "x-delivery-limit": 50,
            "x-dead-letter-exchange": "wr.v1.poison",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    }


def arguments_of(rabbit_stage: RabbitStage) -> dict[str, dict[str, object]]:
    printed = rabbit_stage.node.ctl(
        "-q", "list_queues", "-p", rabbit_stage.vhost, "name", "arguments", "--formatter", "json"
    )
    return {
        each["name"]: {name: value for name, _kind, value in each["arguments"]}
        for each in json.loads(printed)
        if each["name"] in {"theirs", "ours"}
    }


def test_a_task_is_named_by_its_message_where_it_names_none_itself(
    common: RabbitStage, receiver: Receiver
) -> None:
    url = f"{receiver.url}/here"
    common.publish("plain", {"url": url, "id": "inner"}, message_id="outer")
    common.publish("plain", {"url": url}, message_id="outer")
    common.publish("plain", {"url": url}, message_id="does not fit!")
    requests = receiver.wait_for(3, "/here")
    ids = {request.header("Webhook-Runner-Task-Id") for request in requests}
    assert {"inner", "outer"} < ids
    assert "does not fit!" not in ids


def test_a_countdown_begins_when_its_message_was_published(
    common: RabbitStage, receiver: Receiver
) -> None:
    stamp = int(time.time()) - 60
    task = {"url": f"{receiver.url}/waited", "countdown": 59.5}
    common.publish("plain", task, timestamp=stamp)
    # Its backlog of a minute counts; a second is added, for the stamp has whole seconds.
    (request,) = receiver.wait_for(1, "/waited")
    assert request.arrived_at >= stamp + 59.5 + 1


@pytest.mark.parametrize("days", [-500, 1])
def test_an_absurd_timestamp_is_not_believed(
    common: RabbitStage, receiver: Receiver, days: int
) -> None:
    published = time.time()
    stamp = int(published) + days * 86400
    common.publish(
        "plain", {"url": f"{receiver.url}/here", "countdown": 0.5}, timestamp=stamp, message_id="x"
    )
    (request,) = receiver.wait_for(1, "/here")
    assert request.arrived_at >= published + 0.5


def test_a_dead_letter_keeps_the_message_and_its_properties(
    common: RabbitStage, receiver: Receiver
) -> None:
    raw = b'{"expires":  1000000000, "id": "kept", "url": "%s/x"}' % receiver.url.encode()
    common.publish("smart", raw, correlation_id="c-9")
    common.first.wait_for_event("task.expired", task_id="kept")
    common.wait_until_empty("smart")
    letters = publisher.drain(common.url, "wr.v1.dead.smart")
    (letter,) = (each for each in letters if each.headers["wr-id"] == "kept")
    assert letter.body == raw
    assert letter.properties.delivery_mode == 2
    assert letter.properties.correlation_id == "c-9"
