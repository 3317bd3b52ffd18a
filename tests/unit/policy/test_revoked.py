"""What becomes of a copy that was revoked: at the door, and after an attempt."""

import json

import pytest

from webhook_runner.policy.admission import Arrival, admit
from webhook_runner.policy.retry import unless_cancelled
from webhook_runner.policy.verdict import (
    Cancel,
    Complete,
    Drop,
    Errand,
    Fail,
    Forward,
    Postpone,
    Release,
    Retry,
    Revoked,
    Verdict,
    Why,
)
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, Failure, Kind, RollBack, Task

NOW = 1_800_000_000.0
QUEUE = QueueSettings()
TELLS = QueueSettings(rollback_on=("cancelled",))
CANCELLED, SUPERSEDED = Revoked.CANCELLED, Revoked.SUPERSEDED


def copy(*, kind: Kind = Kind.TASK, expires: float | None = None) -> Envelope:
    undo = RollBack("/undo")
    task = Task("t", "q", "/x", b"{}", payload=b"[1.0]", roll_back=undo, expires=expires)
    return Envelope(task, NOW - 5, NOW - 5, kind, run=7, attempt=3, gen=2)


def arrival(revoked: Revoked | None, redeliveries: int = 0) -> Arrival:
    return Arrival("q", redeliveries=redeliveries, revoked=revoked)


def test_a_cancelled_copy_is_that_before_it_is_anything_else() -> None:
    late = copy(expires=NOW - 1)
    assert admit(late, arrival(CANCELLED, redeliveries=50), QUEUE, NOW) == Cancel()


def test_a_superseded_copy_is_dropped_without_a_trace() -> None:
    assert admit(copy(), arrival(SUPERSEDED), TELLS, NOW) == Drop("superseded")


def test_a_roll_back_tells_that_the_task_was_cancelled_and_after_how_many_attempts() -> None:
    verdict = admit(copy(), arrival(CANCELLED), TELLS, NOW)
    assert isinstance(verdict, Cancel)
    assert verdict.rollback is not None
    assert verdict.rollback.task.id == "t~rb"
    told = json.loads(verdict.rollback.task.source)["payload"]
    assert told["failure"]["reason"] == "cancelled"
    assert told["failure"]["attempts"] == 2
    assert b"[1.0]" in verdict.rollback.task.source


def test_a_cancelled_roll_back_is_not_rolled_back() -> None:
    assert admit(copy(kind=Kind.ROLLBACK), arrival(CANCELLED), TELLS, NOW) == Cancel()


@pytest.mark.parametrize(
    "verdict",
    [
        Retry(copy(), 1.0, "500"),
        Postpone(copy(), NOW + 5, Why.SNOOZED),
        Forward(copy(), Errand.ROUTED),
        Fail(Failure("non_retryable", 3), None),
        Release(),
    ],
)
def test_whatever_was_to_follow_a_cancelled_task_does_not(verdict: Verdict) -> None:
    assert unless_cancelled(verdict, copy(), CANCELLED, QUEUE, NOW, sent=True) == Cancel()
    assert unless_cancelled(verdict, copy(), SUPERSEDED, QUEUE, NOW, sent=True) == verdict


@pytest.mark.parametrize("verdict", [Complete(), Drop("settled_before"), Cancel()])
def test_what_is_settled_stays_so(verdict: Verdict) -> None:
    assert unless_cancelled(verdict, copy(), CANCELLED, TELLS, NOW, sent=True) == verdict


@pytest.mark.parametrize(("sent", "attempts"), [(True, 3), (False, 2)])
def test_the_attempt_that_was_cut_is_counted(*, sent: bool, attempts: int) -> None:
    verdict = unless_cancelled(Release(), copy(), CANCELLED, TELLS, NOW, sent=sent)
    assert isinstance(verdict, Cancel)
    assert verdict.rollback is not None
    assert verdict.rollback.failure == Failure("cancelled", attempts)
