"""What becomes of a task's fields in its message."""

import json
import math
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest

from webhook_runner.client import Rejected, Task
from webhook_runner.client.task import Draft, Sendable, Wishes, draft


def message(task: Sendable) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(body(task)))


def body(task: Sendable) -> bytes:
    drafted = draft(task)
    assert isinstance(drafted, Draft), drafted
    return drafted.body


def refused(task: object) -> Rejected:
    rejected = draft(cast("Sendable", task))
    assert isinstance(rejected, Rejected)
    return rejected


def test_what_is_not_asked_for_is_left_out() -> None:
    assert message(Task(url="/hello", id="a")) == {"url": "/hello", "id": "a"}


def test_every_field_has_the_form_of_the_message() -> None:
    zone = timezone(timedelta(hours=2))
    task = Task(
        id="order-7",
        url="/hello",
        method="PUT",
        payload={"to": "you"},
        headers={"X-A": "1"},
        countdown=timedelta(minutes=1),
        eta=datetime(2030, 1, 1, 2, 0, 0, 500, tzinfo=zone),
        expires=1999999999,
        max_retries=0,
        timeout=2.5,
        roll_back={"url": "/undo", "method": "DELETE"},
        queue="mail",
        metadata=[1],
    )
    assert message(task) == {
        "id": "order-7",
        "url": "/hello",
        "method": "PUT",
        "payload": {"to": "you"},
        "headers": {"X-A": "1"},
        "countdown": 60.0,
        "eta": "2030-01-01T00:00:00.000500+00:00",
        "expires": 1999999999,
        "max_retries": 0,
        "timeout": 2.5,
        "roll_back": {"url": "/undo", "method": "DELETE"},
        "queue": "mail",
        "metadata": [1],
    }


def test_send_takes_every_field_of_a_task_as_a_keyword() -> None:
    taken = {each.name: each.type for each in fields(Task) if each.name != "url"}
    assert Wishes.__annotations__ == taken


def test_a_task_without_an_id_is_given_one_of_its_own() -> None:
    first, second = (message(Task(url="/"))["id"] for _ in range(2))
    assert UUID(first) != UUID(second)
    assert str(UUID(message({"url": "/", "id": None})["id"])) != first


def test_the_draft_holds_the_task_with_its_id() -> None:
    for task in (Task(url="/"), {"url": "/"}):
        drafted = draft(task)
        assert isinstance(drafted, Draft)
        assert message(drafted.task)["id"] == drafted.id
        assert draft(drafted.task) == drafted


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, msgspec.Raw])
def test_bytes_are_json_already_and_go_verbatim(kind: type) -> None:
    written = b'{"a": 1.0, "b":1e2, "c": "\\u00e9", "a": 2}'
    assert b'"payload":' + written in body(Task(url="/", payload=kind(written)))
    assert b'"metadata":' + written in body({"url": "/", "metadata": kind(written)})


def test_text_is_a_json_string() -> None:
    assert message(Task(url="/", payload="é { no json"))["payload"] == "é { no json"


def test_values_that_json_does_not_know_are_written_as_text() -> None:
    payload = {"id": UUID(int=7), "at": datetime(2030, 1, 1, tzinfo=UTC), "of": {"a"}}
    assert message(Task(url="/", payload=payload))["payload"] == {
        "id": "00000000-0000-0000-0000-000000000007",
        "at": "2030-01-01T00:00:00Z",
        "of": ["a"],
    }


def test_a_mapping_may_hold_fields_that_the_client_does_not_know() -> None:
    assert message({"url": "/", "id": "a", "priority": 9, "eta": None})["priority"] == 9


@pytest.mark.parametrize(
    ("wishes", "field", "reason", "words"),
    [
        ({"eta": datetime(2030, 1, 1)}, "eta", "bad_time", "has no time zone"),  # noqa: DTZ001
        ({"expires": datetime(2030, 1, 1)}, "expires", "bad_time", "no time zone"),  # noqa: DTZ001
        ({"countdown": math.nan}, "countdown", "not_json", "JSON compliant"),
        ({"payload": {"x": math.inf}}, "payload", "not_json", "JSON compliant"),
        ({"payload": b"{"}, "payload", "not_json", "text goes as a str"),
        ({"payload": b'"\xff"'}, "payload", "not_json", "bytes must be JSON"),
        ({"payload": b""}, "payload", "not_json", "bytes must be JSON"),
        ({"payload": {"x": b"1"}}, "payload", "not_json", "decode them first"),
        ({"payload": "\ud800"}, "payload", "not_json", "surrogates not allowed"),
        ({"payload": object()}, "payload", "not_json", "cannot be written as JSON"),
        ({"metadata": b"nothing"}, "metadata", "not_json", "bytes must be JSON"),
        ({"queue": b"mail"}, "queue", "not_json", "decode them first"),
    ],
)
def test_what_cannot_be_a_message_is_refused_with_its_field(
    wishes: Wishes, field: str, reason: str, words: str
) -> None:
    rejected = refused(replace(Task(url="/", id="a"), **wishes))
    (fault,) = rejected.problem.errors
    assert (rejected.id, rejected.problem.status) == ("a", 422)
    assert (fault.field, fault.reason) == (field, reason)
    assert words in fault.detail
    assert rejected.problem.detail == f"{field}: {fault.detail}"


def test_what_is_no_task_is_refused_too() -> None:
    assert refused("/hello").problem.detail == "is a str, not a Task or a mapping"
