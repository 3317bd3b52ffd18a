"""Which messages become tasks, on which queues, and where the others go."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.parts import publisher
from tests.parts.receiver import Receiver
from tests.parts.stage import Stage

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]

CORPUS = Path(__file__).parents[1] / "corpus" / "messages.jsonl"


def one_of_each_reason() -> list[dict[str, Any]]:
    """Pick a bad message for each reason there is, by the rules of a default configuration."""
    found: dict[str, dict[str, Any]] = {}
    for line in CORPUS.read_text().splitlines():
        case = json.loads(line)
        # Those that are far in the future of the corpus are less far today.
        if case["verdict"] == "rejected" and "rules" not in case and case["reason"] != "too_far":
            found.setdefault(case["reason"], case)
    return list(found.values())


def body_of(case: dict[str, Any]) -> bytes:
    if "base64" in case:
        return base64.b64decode(case["base64"])
    parts = case.get("parts", [[case.get("text"), 1]])
    return "".join(text * count for text, count in parts).encode()


def test_invalid_messages_are_set_aside_as_they_are_while_good_ones_go_on(
    common: Stage, receiver: Receiver
) -> None:
    cases = one_of_each_reason()
    assert len(cases) >= 20
    for number, case in enumerate(cases):
        common.publish("plain", body_of(case), **case.get("message", {}))
        common.publish("plain", {"url": f"{receiver.url}/good", "payload": number})
    requests = receiver.wait_for(len(cases), "/good")
    common.wait_until_empty("plain")
    assert Counter(int(request.body) for request in requests) == Counter(range(len(cases)))
    messages = common.invalid("plain")
    found = Counter((each.body, each.headers["wr-error"]) for each in messages)
    assert found == Counter((body_of(case), case["reason"]) for case in cases)
    assert {each.headers["wr-source"] for each in messages} == {"plain"}


def test_an_invalid_message_names_the_field_and_keeps_its_properties(
    common: Stage, receiver: Receiver
) -> None:
    bad = {"url": f"{receiver.url}/x", "max_retries": "3", "roll_back": f"{receiver.url}/undo"}
    headers = {"x-team": "billing", "team": "billing", "wr-error": "forged"}
    common.publish("ok200", bad, message_id="m-1", correlation_id="c-1", headers=headers)
    common.first.wait_for_event("task.rejected", queue="ok200", field="max_retries")
    common.wait_until_empty("ok200")
    (message,) = common.invalid("ok200")
    assert json.loads(message.body) == bad
    assert message.headers["wr-field"] == "max_retries"
    assert message.headers["wr-error"] == "wrong_type"
    assert message.headers["team"] == "billing"
    assert message.properties.message_id == "m-1"
    assert message.properties.correlation_id == "c-1"
    assert receiver.requests == []


def test_a_task_is_moved_to_the_queue_it_names(common: Stage, receiver: Receiver) -> None:
    task = {"url": f"{receiver.url}/moved", "queue": "ok200", "payload": [1.0], "countdown": 0.3}
    common.publish("plain", task)
    (request,) = receiver.wait_for(1, "/moved")
    assert request.header("Webhook-Runner-Queue") == "ok200"
    assert request.header("Webhook-Runner-Attempt") == "1"
    assert request.body == b"[1.0]"
    common.wait_until_empty("plain")
    common.wait_until_empty("ok200")


def test_a_task_for_an_unknown_queue_is_set_aside(common: Stage, receiver: Receiver) -> None:
    task = {"url": f"{receiver.url}/x", "queue": "nowhere"}
    common.publish("smart", task)
    common.first.wait_for_event("task.rejected", queue="smart", reason="unknown_queue")
    common.wait_until_empty("smart")
    (message,) = common.invalid("smart")
    assert (message.headers["wr-error"], message.headers["wr-field"]) == ("unknown_queue", "queue")
    assert receiver.requests == []


def test_state_that_a_publisher_writes_is_not_believed(common: Stage, receiver: Receiver) -> None:
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


def test_a_transient_message_is_taken_too(common: Stage, receiver: Receiver) -> None:
    common.publish("plain", {"url": f"{receiver.url}/here"}, delivery_mode=1, content_type=None)
    receiver.wait_for(1, "/here")


def test_the_queues_of_an_application_are_adopted_and_missing_ones_are_made(stage: Stage) -> None:
    publisher.declare_classic(stage.url, "theirs")
    stage.publish("theirs", *({"url": "/waited", "payload": n} for n in range(3)))
    daemon = stage.daemon({"theirs": "", "ours": ""})
    stage.publish("theirs", {"url": "/new", "countdown": 1.3})
    assert {each.body for each in stage.receiver.wait_for(3, "/waited")} == {b"0", b"1", b"2"}
    stage.receiver.wait_for(1, "/new")
    stage.wait_until_empty("theirs")
    warning = daemon.wait_for_event("warning", about="queue theirs differs")
    assert "used as it is" in str(warning["text"])
    assert arguments_of(stage) == {
        "theirs": {"x-queue-type": "classic"},
        "ours": {
            "x-queue-type": "quorum",
            "x-delivery-limit": 50,
            "x-dead-letter-exchange": "wr.v1.poison",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    }


def arguments_of(stage: Stage) -> dict[str, dict[str, object]]:
    printed = stage.node.ctl(
        "-q", "list_queues", "-p", stage.vhost, "name", "arguments", "--formatter", "json"
    )
    return {
        each["name"]: {name: value for name, _kind, value in each["arguments"]}
        for each in json.loads(printed)
        if each["name"] in {"theirs", "ours"}
    }
