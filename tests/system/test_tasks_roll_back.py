"""What a permanent failure calls, with which words, and what it leaves behind."""

import json
import time
from datetime import datetime
from typing import Any

import pytest

from tests.parts.receiver import Answer, Receiver
from tests.parts.stage import Stage
from webhook_runner.task.instant import rfc_3339

pytestmark = pytest.mark.system

PAYLOAD = b'{"b": 1.50, "a": 9007199254740993, "u": "\\u00e9"}'
METADATA = b'[1.0, {"k": "\\u00fc"}]'
REFUSAL = Answer(503, {"Content-Type": "text/plain", "X-Private": "no"}, "zu spät".encode())


def failing(receiver: Receiver, **more: Any) -> dict[str, Any]:
    receiver.script("/fails", [REFUSAL])
    return {"url": f"{receiver.url}/fails", "roll_back": f"{receiver.url}/undo", **more}


def dead(common: Stage, queue: str, name: str) -> Any:
    return next(each for each in common.dead(queue) if each.headers["wr-id"] == name)


def test_a_roll_back_is_told_everything(common: Stage, receiver: Receiver) -> None:
    receiver.script("/fails", [REFUSAL])
    before, expires = time.time(), round(time.time()) + 3600
    fields = {"url": f"{receiver.url}/fails", "method": "PUT", "roll_back": f"{receiver.url}/undo"}
    fields |= {"id": "told", "eta": rfc_3339(expires - 7200)}
    rest = json.dumps({**fields, "max_retries": 1, "expires": expires}).encode()
    raw = b'{"payload": %s, "metadata": %s, %s' % (PAYLOAD, METADATA, rest[1:])
    common.publish("plain", raw)
    (undo,) = receiver.wait_for(1, "/undo")
    # Spliced, not written anew: numbers and escapes are those of the publisher.
    assert b'"payload":' + PAYLOAD + b"," in undo.body
    assert b'"metadata":' + METADATA + b"," in undo.body
    told: Any = undo.json()
    times = [told.pop("created_at"), *(told["failure"].pop(f"{n}_attempt_at") for n in WHICH)]
    moments = [datetime.fromisoformat(text).timestamp() for text in times]
    assert moments == sorted(moments)
    assert before - 0.001 <= moments[0] <= moments[-1] <= undo.arrived_at + 0.001
    assert told == {
        "type": "task.failed",
        "id": "told",
        "queue": "plain",
        "url": f"{receiver.url}/fails",
        "method": "PUT",
        "payload": json.loads(PAYLOAD),
        "metadata": json.loads(METADATA),
        "failure": {
            "reason": "retries_exhausted",
            "detail": "",
            "attempts": 2,
            "last_status": 503,
            "last_error": "",
            "last_response": {
                "headers": {"content-type": "text/plain"},
                "body": "zu spät",
                "truncated": False,
            },
        },
        "eta": rfc_3339(expires - 7200),
        "expires": rfc_3339(expires),
    }


WHICH = ("first", "last")


def test_a_roll_back_is_a_request_of_its_own(common: Stage, receiver: Receiver) -> None:
    receiver.script("/undo", [Answer(500), Answer(200)])
    common.publish("plain", failing(receiver, id="rolled", max_retries=0))
    first, second = receiver.wait_for(2, "/undo")
    common.first.wait_for_event("task.rolled_back", task_id="rolled~rb", attempt=2)
    for number, request in enumerate((first, second), start=1):
        found = {name: request.header(f"Webhook-Runner-{name}") for name in ROLL_BACK_HEADERS}
        assert found == {**ROLL_BACK_HEADERS, "Attempt": str(number)}
        assert request.header("Idempotency-Key") == "rolled~rb"
        assert request.header("Content-Type") == "application/json"
        assert request.method == "POST"
    assert first.body == second.body
    assert len(receiver.received("/fails")) == 1


ROLL_BACK_HEADERS = {
    "Event": "rollback",
    "Task-Id": "rolled",
    "Queue": "plain",
    "Failure-Reason": "retries_exhausted",
    "Attempts": "1",
    "Last-Status": "503",
    "Attempt": "1",
    "Max-Retries": "10",
}


def test_a_roll_back_can_be_the_payload_with_the_facts_as_headers(
    common: Stage, receiver: Receiver
) -> None:
    head = json.dumps(failing(receiver, id="facts", max_retries=0)).encode()
    common.publish("facts", b'%s, "payload": %s}' % (head[:-1], PAYLOAD))
    (undo,) = receiver.wait_for(1, "/undo")
    assert undo.body == PAYLOAD
    assert undo.header("Webhook-Runner-Event") == "rollback"
    assert undo.header("Webhook-Runner-Failure-Reason") == "retries_exhausted"
    assert undo.header("Webhook-Runner-Attempts") == "1"
    assert undo.header("Webhook-Runner-Last-Status") == "503"


def test_a_roll_back_may_name_method_and_headers(common: Stage, receiver: Receiver) -> None:
    call = {"url": f"{receiver.url}/undo?x=1", "method": "PATCH", "headers": {"X-Why": "undo"}}
    common.publish("plain", failing(receiver, max_retries=0, roll_back=call))
    (undo,) = receiver.wait_for(1, "/undo")
    assert (undo.method, undo.query, undo.header("X-Why")) == ("PATCH", "x=1", "undo")


def test_a_roll_back_may_be_a_path_and_even_that_of_the_task(common: Stage) -> None:
    receiver = common.receiver
    receiver.script("/same", [Answer(500), Answer(200)])
    common.publish("plain", {"url": "/same", "roll_back": "/same", "max_retries": 0})
    first, second = receiver.wait_for(2, "/same")
    events = [each.header("Webhook-Runner-Event") for each in (first, second)]
    assert events == ["task", "rollback"]


def test_a_roll_back_that_fails_is_kept_too(common: Stage, receiver: Receiver) -> None:
    receiver.script("/undo", [Answer(500, {"Webhook-Runner-Retry": "never"})])
    common.publish("plain", failing(receiver, id="twice", max_retries=0))
    common.first.wait_for_event("task.rollback.failed", task_id="twice~rb")
    letters = {str(each.headers["wr-id"]): each for each in common.dead("plain")}
    assert {"twice", "twice~rb"} <= letters.keys()
    assert letters["twice~rb"].headers["wr-kind"] == "rollback"
    assert len(receiver.received("/undo")) == 1


def test_a_success_calls_no_roll_back(common: Stage, receiver: Receiver) -> None:
    receiver.script("/fails", [Answer(500), Answer(200)])
    task = {"url": f"{receiver.url}/fails", "roll_back": f"{receiver.url}/undo", "id": "well"}
    common.publish("plain", task)
    common.first.wait_for_event("task.succeeded", task_id="well")
    common.wait_until_empty("plain")
    assert receiver.received("/undo") == []


def test_a_dead_letter_holds_the_message_and_its_story(common: Stage, receiver: Receiver) -> None:
    (raw,) = common.publish("capped", failing(receiver, id="story", max_retries=2))
    common.first.wait_for_event("task.failed", task_id="story")
    letter = dead(common, "capped", "story")
    assert letter.body == raw
    story = {name: letter.headers[name] for name in ("wr-reason", "wr-attempts", "wr-queue")}
    assert story == {"wr-reason": "retries_exhausted", "wr-attempts": 2, "wr-queue": "capped"}
    assert letter.headers["wr-last-status"] == 503
    summary = json.loads(letter.headers["wr-summary"])
    assert summary["last_response"]["body"] == "zu spät"


def test_an_unreachable_endpoint_is_told_by_name(common: Stage, receiver: Receiver) -> None:
    receiver.script("/fails", [Answer(reset=True)])
    task = {"url": f"{receiver.url}/fails", "roll_back": f"{receiver.url}/undo"}
    common.publish("plain", {**task, "max_retries": 1, "id": "cut"})
    (undo,) = receiver.wait_for(1, "/undo")
    failure = json.loads(undo.body)["failure"]
    assert (failure["last_status"], failure["last_response"]) == (None, None)
    assert failure["last_error"] == "reset"
    assert undo.header("Webhook-Runner-Last-Status") is None
