"""The roll-back task and the dead letter's summary."""

import base64
import json
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.policy.samples import NOW, UNDO, envelope, queue, rollback_of, task
from webhook_runner.policy.follow import rollback, summary
from webhook_runner.settings import QueueSettings
from webhook_runner.task.codec import Rules, decode
from webhook_runner.task.model import Envelope, Failure, Kind, Message, RollBack, Task
from webhook_runner.task.outcome import Outcome, Responded, TimedOut
from webhook_runner.task.progress import progress_headers

PAYLOAD = b'{"n": 9007199254740993,  "b": 1, "a": [1.0, 1E2, "\\u00e9\\/"]}'
METADATA = b'{"z":1,\n "y": 0.10}'
FAILURE = Failure("retries_exhausted", 4, last_status=503)
FAILED = task(payload=PAYLOAD, metadata=METADATA, roll_back=UNDO, eta=NOW, expires=NOW + 60.5)


def undo(
    of: Task = FAILED,
    failure: Failure = FAILURE,
    settings: QueueSettings | None = None,
    **progress: Any,
) -> Envelope | None:
    failed = envelope(of=of, **progress)
    told = summary(failed, failure, None)
    return rollback(failed, failure, told, settings or queue(), NOW)


def read_back(undone: Envelope | None) -> Task:
    """Decode a roll-back as the daemon that receives it does."""
    assert undone is not None
    message = Message(undone.task.source, progress_headers(undone))
    decoded = decode(message, "q", now=NOW, rules=Rules(), make_id=lambda: "never")
    assert replace(decoded.envelope, task=undone.task) == undone
    return decoded.envelope.task


def test_a_roll_back_is_a_task_of_its_own() -> None:
    undone = undo(run=7, correlation_id="c", attempt=4, gen=9)

    assert undone is not None
    assert undone.kind is Kind.ROLLBACK
    assert (undone.run, undone.attempt, undone.gen, undone.origin) == (7, 1, 1, "t")
    assert (undone.due_at, undone.failure, undone.correlation_id) == (NOW, FAILURE, "c")
    read = read_back(undone)
    assert (read.id, read.queue, read.url, read.method) == ("t~rb", "q", UNDO.url, "POST")
    assert (read.expires, read.eta, read.countdown, read.roll_back) == (None, None, None, None)
    assert read.max_retries is None


def test_the_envelope_has_the_original_payload_and_metadata_byte_for_byte() -> None:
    body = read_back(undo()).body

    assert b'"payload":' + PAYLOAD + b"," in body
    assert b'"metadata":' + METADATA + b"," in body


def test_the_envelope_tells_what_the_contract_promises() -> None:
    body = json.loads(read_back(undo(first_attempt_at=NOW - 50, last_attempt_at=NOW - 0.5)).body)

    assert list(body) == [
        "type", "id", "queue", "url", "method", "payload", "metadata", "failure",
        "created_at", "eta", "expires",
    ]  # fmt: skip
    assert (body["type"], body["id"], body["method"]) == ("task.failed", "t", "POST")
    assert body["payload"]["n"] == 9007199254740993
    assert body["eta"] == "2027-01-15T08:00:00.000Z"
    assert body["expires"] == "2027-01-15T08:01:00.500Z"
    assert body["created_at"] == "2027-01-15T07:58:20.000Z"
    assert body["failure"] == {
        "reason": "retries_exhausted",
        "detail": "",
        "attempts": 4,
        "first_attempt_at": "2027-01-15T07:59:10.000Z",
        "last_attempt_at": "2027-01-15T07:59:59.500Z",
        "last_status": 503,
        "last_error": "",
        "last_response": None,
    }


@pytest.mark.parametrize("payload", [b'"text with \\u00e9"', b"5", b"[]", b"{}", b"false"])
def test_any_payload_survives(payload: bytes) -> None:
    body = read_back(undo(replace(FAILED, payload=payload))).body

    assert b'"payload":' + payload + b"," in body


def test_no_payload_is_null_in_the_envelope_and_no_body_otherwise() -> None:
    bare = replace(FAILED, payload=None, metadata=None)
    body = json.loads(read_back(undo(bare)).body)

    assert (body["payload"], body["metadata"]) == (None, None)
    assert read_back(undo(bare, settings=queue(rollback_body="payload"))).body == b""


@pytest.mark.parametrize(
    ("payload", "body"), [(PAYLOAD, PAYLOAD), (b'"plain \\u00e9"', "plain é".encode())]
)
def test_the_payload_form_sends_what_the_task_itself_sent(payload: bytes, body: bytes) -> None:
    settings = queue(rollback_body="payload")

    assert read_back(undo(replace(FAILED, payload=payload), settings=settings)).body == body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["envelope", "payload"])
def test_a_roll_back_by_get_has_no_body(method: str, form: str) -> None:
    of = replace(FAILED, roll_back=RollBack(UNDO.url, method))
    read = read_back(undo(of, settings=queue(rollback_body=form)))

    assert (read.method, read.body) == (method, b"")


def test_a_roll_back_has_its_own_method_and_headers() -> None:
    of = replace(FAILED, roll_back=RollBack("/undo", "DELETE", {"X-Why": "é".encode().hex()}))
    read = read_back(undo(of))

    assert (read.url, read.method, read.headers) == ("/undo", "DELETE", {"X-Why": "c3a9"})


@pytest.mark.parametrize(
    ("reason", "rollback_on", "called"),
    [
        ("retries_exhausted", ("failed", "expired"), True),
        ("stopped", ("failed",), True),
        ("max_age", ("failed",), True),
        ("crash_loop", ("expired",), False),
        ("expired", ("failed",), False),
        ("expired", ("expired",), True),
        ("expired", (), False),
        ("non_retryable", (), False),
    ],
)
def test_rollback_on_says_when(reason: str, rollback_on: tuple[str, ...], *, called: bool) -> None:
    found = undo(failure=Failure(reason), settings=queue(rollback_on=rollback_on))

    assert (found is not None) is called


def test_nothing_is_rolled_back_without_roll_back_or_twice() -> None:
    assert undo(replace(FAILED, roll_back=None)) is None
    again = rollback_of(replace(FAILED, id="t~rb"))
    assert rollback(again, FAILURE, summary(again, FAILURE, None), queue(), NOW) is None


@pytest.mark.parametrize("reason", ["cancelled", "expired", "retries_exhausted", "max_age"])
@pytest.mark.parametrize("end", ["cancelled", "expired", "failed"])
def test_a_task_is_rolled_back_for_the_ends_that_the_queue_names(reason: str, end: str) -> None:
    is_that_end = (reason if reason in {"cancelled", "expired"} else "failed") == end
    undone = undo(failure=Failure(reason, 1), settings=queue(rollback_on=(end,)))

    assert (undone is not None) is is_that_end


def response_in(outcome: Outcome | None) -> Any:
    return summary(envelope(), FAILURE, outcome)["last_response"]


def test_the_last_response_is_told_with_few_headers() -> None:
    headers = {
        "content-type": "text/plain",
        "retry-after": "5",
        "date": "Fri, 15 Jan 2027 08:00:00 GMT",
        "location": "/elsewhere",
        "webhook-runner-retry": "after=5",
    }
    outcome = Responded(503, headers | {"set-cookie": "secret=1"})
    told = response_in(replace(outcome, body="Grüße".encode()))

    assert told == {
        "headers": headers,
        "body": "Grüße",
        "truncated": False,
    }


def test_without_a_response_there_is_none() -> None:
    assert response_in(None) is None
    assert response_in(TimedOut(60.0)) is None


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_character_that_the_cut_went_through_is_left_out(cut: int) -> None:
    told = response_in(Responded(500, body=b"ok " + "😀".encode()[:cut], truncated=True))

    assert told == {"headers": {}, "body": "ok ", "truncated": True}


@pytest.mark.parametrize(
    ("body", "truncated"), [(b"\xff\xfe\x00", False), (b"a\xffb", True), (b"ok \xf0\x9f", False)]
)
def test_bytes_that_are_no_text_are_told_in_base64(body: bytes, *, truncated: bool) -> None:
    told = response_in(Responded(500, body=body, truncated=truncated))

    assert base64.b64decode(told["body"]) == body
    assert (told["base64"], told["truncated"]) == (True, truncated)
