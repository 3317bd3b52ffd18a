"""When a request is sent: never early, and never after its expiry."""

import json
import time
from typing import Any

import pytest

from tests.parts.receiver import Answer, Receiver
from tests.parts.stage import Stage
from webhook_runner.task.instant import rfc_3339

pytestmark = pytest.mark.system


def test_a_countdown_never_ends_early(common: Stage, receiver: Receiver) -> None:
    waits = [0, 0.001, 0.0375, 0.25, 0.9, 1.2495, 1.26, 1.7, 2.345]
    published = time.time()
    common.publish(
        "plain", *({"url": f"{receiver.url}/{wait}", "countdown": wait} for wait in waits)
    )
    receiver.wait_for(len(waits))
    for wait in waits:
        (request,) = receiver.received(f"/{wait}")
        assert request.arrived_at >= published + wait


@pytest.mark.parametrize("form", ["number", "string", "zoned"])
def test_an_eta_is_never_early(common: Stage, receiver: Receiver, form: str) -> None:
    etas = [round(time.time() + wait, 3) for wait in (0.4, 0.777, 1.5, 2.001)]
    for eta in etas:
        text = rfc_3339(eta)
        written: object = {
            "number": eta,
            "string": text,
            "zoned": text.replace("Z", "+00:00"),
        }[form]
        common.publish("plain", {"url": f"{receiver.url}/{eta}", "eta": written})
    receiver.wait_for(len(etas))
    for eta in etas:
        (request,) = receiver.received(f"/{eta}")
        assert request.arrived_at >= eta


def test_an_eta_of_the_past_is_now(common: Stage, receiver: Receiver) -> None:
    common.publish("plain", {"url": f"{receiver.url}/past", "eta": 1_000_000_000, "countdown": 99})
    receiver.wait_for(1, "/past")


def test_eta_wins_over_countdown(common: Stage, receiver: Receiver) -> None:
    eta = time.time() + 0.7
    common.publish(
        "plain",
        {"url": f"{receiver.url}/long", "eta": eta, "countdown": 3600},
        {"url": f"{receiver.url}/short", "eta": eta, "countdown": 0},
    )
    assert min(request.arrived_at for request in receiver.wait_for(2)) >= eta


def expiring(receiver: Receiver, name: str, **more: Any) -> dict[str, Any]:
    undo = f"{receiver.url}/undo"
    return {"url": f"{receiver.url}/never", "roll_back": undo, "id": name, **more}


@pytest.mark.parametrize("case", ["past", "eta at expires", "far eta after expires"])
def test_a_task_past_its_expiry_is_not_sent(common: Stage, receiver: Receiver, case: str) -> None:
    soon = time.time() + 600
    cases: dict[str, dict[str, object]] = {
        "past": {"expires": 1_000_000_000},
        "eta at expires": {"expires": soon, "eta": soon},
        "far eta after expires": {"expires": rfc_3339(soon), "eta": soon + 3600},
    }
    name = case.replace(" ", "-")
    common.publish("plain", expiring(receiver, name, **cases[case]))
    (undo,) = receiver.wait_for(1, "/undo")
    failure = json.loads(undo.body)["failure"]
    assert (failure["reason"], failure["attempts"]) == ("expired", 0)
    assert failure["first_attempt_at"] is None
    common.first.wait_for_event("task.expired", task_id=name)
    (letter,) = (each for each in common.dead("plain") if each.headers["wr-id"] == name)
    assert (letter.headers["wr-reason"], letter.headers["wr-attempts"]) == ("expired", 0)
    assert receiver.received("/never") == []


def test_a_retry_that_would_come_too_late_is_given_up_at_once(
    common: Stage, receiver: Receiver
) -> None:
    receiver.script("/never", [Answer(503)])
    expires = time.time() + 4  # the backoff of this queue is 5 s
    common.publish("slow", expiring(receiver, "no-wait", expires=expires))
    (undo,) = receiver.wait_for(1, "/undo")
    assert undo.arrived_at < expires
    failure = json.loads(undo.body)["failure"]
    assert (failure["reason"], failure["attempts"]) == ("expired", 1)
    assert failure["detail"] == "expires_before_retry"
    assert len(receiver.received("/never")) == 1


def test_a_task_that_expires_while_it_waits_for_its_turn_is_not_sent(
    common: Stage, receiver: Receiver
) -> None:
    receiver.script("/first", [Answer(hang=True)])
    expires = time.time() + 0.6
    common.publish("single", {"url": f"{receiver.url}/first"})
    receiver.wait_for(1, "/first")
    common.publish("single", expiring(receiver, "waited", expires=expires))
    common.publish("plain", {"url": f"{receiver.url}/clock", "eta": expires})
    receiver.wait_for(1, "/clock")
    receiver.release()
    (undo,) = receiver.wait_for(1, "/undo")
    assert undo.header("Webhook-Runner-Failure-Reason") == "expired"
    assert receiver.received("/never") == []


def test_a_running_request_is_not_cut_by_its_expiry(common: Stage, receiver: Receiver) -> None:
    receiver.script("/runs", [Answer(hang=True)])
    expires = time.time() + 0.6
    common.publish("plain", {"url": f"{receiver.url}/runs", "expires": expires, "id": "runs-on"})
    receiver.wait_for(1, "/runs")
    common.publish("plain", {"url": f"{receiver.url}/clock", "eta": expires})
    receiver.wait_for(1, "/clock")
    receiver.release()
    common.first.wait_for_event("task.succeeded", task_id="runs-on")
