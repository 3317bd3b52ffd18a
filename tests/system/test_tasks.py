"""What a message says is what arrives: every field, by behaviour, through a real daemon."""

import json
import time
from typing import Any

import pytest

from tests.parts.receiver import Answer, Receiver, Request
from tests.parts.stage import Stage
from webhook_runner import __version__
from webhook_runner.task.instant import rfc_3339

pytestmark = pytest.mark.system

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def common(either_common: Stage) -> Stage:
    """The common stage on each broker in turn."""
    return either_common


def sent(common: Stage, receiver: Receiver, task: dict[str, Any], traceparent: str = "") -> Request:
    """Publish a task for `/here` of this test's receiver and return the request it became."""
    url = f"{receiver.url}/here"
    common.publish("plain", {"url": url, **task}, traceparent=traceparent)
    return receiver.wait_for(1, "/here")[0]


@pytest.mark.parametrize(
    ("written", "arrives"),
    [
        ('{"b": 1, "a": 9007199254740993}', b'{"b": 1, "a": 9007199254740993}'),
        ('[1.50, 1e400, -0,\t"\\u00e9\\/"]', b'[1.50, 1e400, -0,\t"\\u00e9\\/"]'),
        ('{ "same": 1, "same": 2 }', b'{ "same": 1, "same": 2 }'),
        ('"Grüße \\u2603 \\ud83d\\ude00\\n"', "Grüße ☃ 😀\n".encode()),
        ('""', b""),
        ("null", b""),
        ("false", b"false"),
        ("0", b"0"),
    ],
)
def test_a_payload_arrives_byte_for_byte(
    common: Stage, receiver: Receiver, written: str, arrives: bytes
) -> None:
    raw = f'{{"payload": {written}, "url": "{receiver.url}/here"}}'
    common.publish("plain", raw.encode())
    (request,) = receiver.wait_for(1, "/here")
    assert request.body == arrives
    assert request.header("Content-Length") == str(len(arrives))
    assert request.header("Content-Type") == ("application/json" if arrives else None)


def test_a_payload_is_the_same_at_every_attempt(common: Stage, receiver: Receiver) -> None:
    raw = b'{"z": [9007199254740993, 1.0],  "a": "\\u00fc"}'
    receiver.script("/here", [Answer(500), Answer(500), Answer(200)])
    common.publish("plain", b'{"url": "%s/here", "payload": %s}' % (receiver.url.encode(), raw))
    assert [request.body for request in receiver.wait_for(3, "/here")] == [raw] * 3


def test_a_task_without_a_payload_is_an_empty_post(common: Stage, receiver: Receiver) -> None:
    request = sent(common, receiver, {})
    assert (request.method, request.body) == ("POST", b"")
    assert request.header("Content-Length") == "0"


def test_a_path_is_joined_to_the_base_url(common: Stage) -> None:
    common.publish("plain", {"url": "/joined/%2F/x?a=1&b=%20"})
    (request,) = common.receiver.wait_for(1, "/joined/%2F/x")
    assert request.query == "a=1&b=%20"


def test_a_whole_url_is_called_as_it_is(common: Stage, receiver: Receiver) -> None:
    common.publish("plain", {"url": f"{receiver.url}/here?q=%C3%BC#fragment"})
    (request,) = receiver.wait_for(1, "/here")
    assert request.query == "q=%C3%BC"
    assert request.header("Host") == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"])
def test_a_task_chooses_its_method(common: Stage, receiver: Receiver, method: str) -> None:
    payload = {} if method in {"GET", "HEAD"} else {"payload": [1]}
    request = sent(common, receiver, {"method": method, **payload})
    assert request.method == method
    assert request.body == (b"[1]" if payload else b"")


def test_the_headers_of_a_task_are_sent(common: Stage, receiver: Receiver) -> None:
    headers = {"X-Order": "7", "content-type": "text/plain", "Authorization": "Bearer t"}
    request = sent(common, receiver, {"headers": headers, "payload": "x"})
    assert request.header("X-Order") == "7"
    assert [value for name, value in request.headers if name.lower() == "content-type"] == [
        "text/plain"
    ]
    assert request.header("Authorization") == "Bearer t"


def test_a_request_says_what_it_is(common: Stage, receiver: Receiver) -> None:
    receiver.script("/here", [Answer(503), Answer(200)])
    task = {
        "id": "says-what",
        "payload": {},
        "max_retries": 4,
        "eta": "2026-01-31T08:30:00.25Z",
        "expires": 4102444800,
    }
    sent(common, receiver, task, TRACE)
    first, second = receiver.wait_for(2, "/here")
    always = {
        "User-Agent": f"webhook_runner/{__version__}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "Idempotency-Key": "says-what",
        "Webhook-Runner-Task-Id": "says-what",
        "Webhook-Runner-Queue": "plain",
        "Webhook-Runner-Event": "task",
        "Webhook-Runner-Max-Retries": "4",
        "Webhook-Runner-Expires": "2100-01-01T00:00:00.000Z",
        "Webhook-Runner-Possible-Duplicate": None,
    }
    history = [f"Webhook-Runner-{name}" for name in ("Attempt", "Retry-Count")]
    history += [f"Webhook-Runner-{name}" for name in ("Previous-Status", "Retry-Reason")]
    for request in (first, second):
        assert {name: request.header(name) for name in always} == always
        trace = request.header("traceparent")
        assert trace is not None
        assert trace.split("-")[1] == TRACE.split("-")[1]
    assert [first.header(name) for name in history] == ["1", "0", None, None]
    assert [second.header(name) for name in history] == ["2", "1", "503", "503"]


def test_the_eta_header_is_the_time_that_was_asked_for(common: Stage, receiver: Receiver) -> None:
    eta = int(time.time()) + 1.25
    request = sent(common, receiver, {"eta": eta})
    assert request.header("Webhook-Runner-Eta") == rfc_3339(eta)


def test_a_task_is_named_by_itself_or_by_us(common: Stage, receiver: Receiver) -> None:
    name = "Webhook-Runner-Task-Id"
    assert sent(common, receiver, {"id": "own"}).header(name) == "own"
    receiver.script("/made", [Answer(500), Answer(500), Answer(200)])
    common.publish("plain", {"url": f"{receiver.url}/made"})
    assert len({request.header(name) for request in receiver.wait_for(3, "/made")}) == 1


def test_metadata_is_not_sent_but_given_to_extensions(common: Stage, receiver: Receiver) -> None:
    task = {"url": f"{receiver.url}/here", "metadata": {"tenant": "acme", "try": 2}}
    common.publish("extended", task)
    (request,) = receiver.wait_for(1, "/here")
    assert (request.header("X-Meta-Tenant"), request.header("X-Meta-Try")) == ("acme", "2")
    assert request.body == b""
    common.publish("plain", {**task, "url": f"{receiver.url}/plain"})
    (plain,) = receiver.wait_for(1, "/plain")
    assert "acme" not in str(plain)


def test_an_extension_may_refuse_a_task(common: Stage, receiver: Receiver) -> None:
    task = {"url": f"{receiver.url}/here", "roll_back": f"{receiver.url}/undo", "id": "poor"}
    common.publish("refusing", {**task, "metadata": 0}, {**task, "id": "rich", "metadata": 1})
    (request,) = receiver.wait_for(1, "/here")
    assert request.header("Webhook-Runner-Task-Id") == "rich"
    assert request.header("X-Credit") == "fine"
    (undo,) = receiver.wait_for(1, "/undo")
    failure = json.loads(undo.body)["failure"]
    assert (failure["reason"], failure["last_error"]) == ("non_retryable", "extension")
    assert [each.path for each in receiver.requests].count("/here") == 1


def test_a_bug_in_an_extension_is_a_failed_attempt(common: Stage, receiver: Receiver) -> None:
    url = f"{receiver.url}/here"
    common.publish("broken", {"url": url, "id": "bug"}, {"url": url, "metadata": "mercy"})
    receiver.wait_for(1, "/here")
    common.first.wait_for_event("task.failed", task_id="bug", attempts=2)
    assert len(receiver.requests) == 1


def test_an_unknown_field_is_ignored(common: Stage, receiver: Receiver) -> None:
    assert sent(common, receiver, {"colour": "red"}).body == b""


def test_null_is_the_same_as_absent(common: Stage, receiver: Receiver) -> None:
    names = ["method", "payload", "headers", "countdown", "eta", "expires", "max_retries"]
    names += ["timeout", "roll_back", "queue", "metadata", "id"]
    assert sent(common, receiver, dict.fromkeys(names)).method == "POST"
