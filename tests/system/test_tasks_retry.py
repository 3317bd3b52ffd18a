"""What follows an attempt: success, retry by whose rule, snooze, or the end."""

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from tests.parts.receiver import Answer, Receiver
from tests.parts.stage import Stage, wait_for_events

pytestmark = pytest.mark.system


def attempts(receiver: Receiver, path: str = "/here") -> list[str | None]:
    return [request.header("Webhook-Runner-Attempt") for request in receiver.received(path)]


def failed(common: Stage, name: str, reason: str = "retries_exhausted") -> None:
    common.first.wait_for_event("task.failed", task_id=name, reason=reason)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_task_is_retried_as_often_as_it_says(
    common: Stage, receiver: Receiver, retries: int
) -> None:
    receiver.script("/here", [Answer(500)])
    name = f"retries-{retries}"
    common.publish("plain", {"url": f"{receiver.url}/here", "max_retries": retries, "id": name})
    failed(common, name)
    assert attempts(receiver) == [str(n + 1) for n in range(retries + 1)]
    limits = {request.header("Webhook-Runner-Max-Retries") for request in receiver.requests}
    assert limits == {str(retries)}


@pytest.mark.parametrize("field", [{}, {"max_retries": -1}, {"max_retries": None}])
def test_a_task_without_a_limit_is_retried_on_and_on(
    common: Stage, receiver: Receiver, field: dict[str, object]
) -> None:
    receiver.script("/here", [*[Answer(500)] * 7, Answer(200)])
    common.publish("plain", {"url": f"{receiver.url}/here", **field})
    requests = receiver.wait_for(8, "/here")
    assert attempts(receiver) == [str(n + 1) for n in range(8)]
    assert {request.header("Webhook-Runner-Max-Retries") for request in requests} == {None}


@pytest.mark.parametrize(("field", "count"), [(-1, 2), (5, 2), (None, 2), (0, 1)])
def test_the_limit_of_the_queue_caps_that_of_the_task(
    common: Stage, receiver: Receiver, field: int | None, count: int
) -> None:
    receiver.script("/here", [Answer(500)])
    name = f"capped{field}"
    common.publish("capped", {"url": f"{receiver.url}/here", "max_retries": field, "id": name})
    failed(common, name)
    assert len(receiver.requests) == count


@pytest.mark.parametrize("status", [301, 307, 400, 404, 410, 429, 500, 501, 599])
def test_any_other_status_is_retried(common: Stage, receiver: Receiver, status: int) -> None:
    receiver.script("/here", [Answer(status, {"Location": "/elsewhere"}), Answer(200)])
    common.publish("plain", {"url": f"{receiver.url}/here"})
    receiver.wait_for(2, "/here")
    assert receiver.received("/elsewhere") == []


def test_only_the_success_codes_of_the_queue_are_a_success(
    common: Stage, receiver: Receiver
) -> None:
    receiver.script("/here", [Answer(204), Answer(202), Answer(200), Answer(500)])
    common.publish("ok200", {"url": f"{receiver.url}/here", "id": "ok200"})
    common.first.wait_for_event("task.succeeded", task_id="ok200", attempt=3)
    receiver.script("/any", [Answer(299)])
    common.publish("plain", {"url": f"{receiver.url}/any", "id": "any2xx"})
    common.first.wait_for_event("task.succeeded", task_id="any2xx", attempt=1)


def test_smart_retries_leave_out_what_cannot_change(common: Stage, receiver: Receiver) -> None:
    receiver.script("/gone", [Answer(410)])
    receiver.script("/busy", [Answer(409), Answer(200)])
    task = {"url": f"{receiver.url}/gone", "roll_back": f"{receiver.url}/undo", "id": "gone"}
    common.publish("smart", task, {"url": f"{receiver.url}/busy", "id": "busy"})
    failed(common, "gone", "non_retryable")
    common.first.wait_for_event("task.succeeded", task_id="busy", attempt=2)
    (undo,) = receiver.wait_for(1, "/undo")
    assert undo.header("Webhook-Runner-Last-Status") == "410"
    assert len(receiver.received("/gone")) == 1


def test_an_endpoint_can_stop_the_retries(common: Stage, receiver: Receiver) -> None:
    receiver.script("/here", [Answer(503, {"Webhook-Runner-Retry": "never"})])
    common.publish("plain", {"url": f"{receiver.url}/here", "id": "stopped"})
    failed(common, "stopped", "stopped")
    assert len(receiver.requests) == 1


def test_an_endpoint_can_choose_the_wait(common: Stage, receiver: Receiver) -> None:
    receiver.script("/here", [Answer(500, {"Webhook-Runner-Retry": "after=0.8"}), Answer(200)])
    common.publish("slow", {"url": f"{receiver.url}/here"})
    first, second = receiver.wait_for(2, "/here", timeout=4)  # its own backoff would be 5 s
    assert second.arrived_at >= first.arrived_at + 0.8
    assert attempts(receiver) == ["1", "2"]


def test_a_snooze_costs_no_retry(common: Stage, receiver: Receiver) -> None:
    snooze = Answer(503, {"Webhook-Runner-Retry": "snooze=0.2"})
    receiver.script("/here", [snooze, snooze, snooze, Answer(200)])
    common.publish("plain", {"url": f"{receiver.url}/here", "max_retries": 0, "id": "snoozes"})
    receiver.wait_for(4, "/here")
    common.first.wait_for_event("task.succeeded", task_id="snoozes")
    assert attempts(receiver) == ["1", "1", "1", "1"]


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_retry_waits_as_retry_after_says(
    common: Stage, receiver: Receiver, form: str, status: int
) -> None:
    at = int(time.time()) + 2
    date = format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)
    said = {"seconds": "1.3", "date": date}[form]
    receiver.script("/here", [Answer(status, {"Retry-After": said}), Answer(200)])
    common.publish("plain", {"url": f"{receiver.url}/here"})
    first, second = receiver.wait_for(2, "/here")
    assert second.arrived_at >= (first.arrived_at + 1.3 if form == "seconds" else at)
    assert attempts(receiver) == ["1", "2"]


def test_retry_after_never_shortens_the_backoff(common: Stage, receiver: Receiver) -> None:
    receiver.script("/here", [Answer(500, {"Retry-After": "0.1"})])
    common.publish("slow", {"url": f"{receiver.url}/here", "id": "patient"})
    event = common.first.wait_for_event("task.retry.scheduled", task_id="patient")
    assert event["delay_s"] == 5


@pytest.mark.parametrize("status", [429, 503])
def test_a_destination_that_asks_for_a_pause_gets_it(
    common: Stage, receiver: Receiver, status: int
) -> None:
    receiver.script("/busy", [Answer(status, {"Retry-After": "1.5"}), Answer(200)])
    common.publish("plain", {"url": f"{receiver.url}/busy", "id": f"asks-{status}"})
    common.first.wait_for_event("task.retry.scheduled", task_id=f"asks-{status}")
    with Receiver() as other:
        held = [{"url": f"{receiver.url}/held", "max_retries": 0} for _ in range(3)]
        common.publish("plain", *held, {"url": f"{other.url}/free"})
        (free,) = other.wait_for(1, "/free")
        until = receiver.requests[0].arrived_at + 1.5
        assert free.arrived_at < until
        assert all(request.arrived_at >= until for request in receiver.wait_for(3, "/held"))
        receiver.wait_for(2, "/busy")
        # Who was held has not used an attempt.
        assert attempts(receiver, "/held") == ["1"] * 3


@pytest.mark.parametrize("whose", ["task", "queue"])
def test_a_request_is_cut_at_its_timeout(common: Stage, receiver: Receiver, whose: str) -> None:
    receiver.script("/here", [Answer(hang=True)])
    queue, fields = ("plain", {"timeout": 0.3}) if whose == "task" else ("brief", {})
    name = f"timeout-{whose}"
    task = {"url": f"{receiver.url}/here", "max_retries": 1, "id": name, **fields}
    common.publish(queue, task)
    common.first.wait_for_event("task.failed", task_id=name, error="timeout", attempts=2)
    receiver.wait_until(lambda: len(receiver.aborted) == 2)
    first, second = receiver.requests
    assert first.header("Webhook-Runner-Possible-Duplicate") is None
    assert second.header("Webhook-Runner-Possible-Duplicate") == "true"
    assert second.header("Webhook-Runner-Retry-Reason") == "timeout"
    assert second.header("Webhook-Runner-Previous-Status") is None


def test_the_timeout_of_a_task_may_be_longer_than_that_of_the_queue(
    common: Stage, receiver: Receiver
) -> None:
    receiver.script("/here", [Answer(delay=0.6)])
    common.publish("brief", {"url": f"{receiver.url}/here", "timeout": 20, "id": "long"})
    common.first.wait_for_event("task.succeeded", task_id="long", attempt=1)


def test_two_queues_have_two_policies(common: Stage, receiver: Receiver) -> None:
    receiver.script("/here", [Answer(204)])
    url = f"{receiver.url}/here"
    fields = {"url": url, "max_retries": 1}
    common.publish("ok200", {**fields, "id": "strict"})
    common.publish("plain", {**fields, "id": "easy"})
    failed(common, "strict")
    common.first.wait_for_event("task.succeeded", task_id="easy")
    retries = wait_for_events(common.first, 1, "task.retry.scheduled", task_id="strict")
    assert retries[0]["status"] == 204
