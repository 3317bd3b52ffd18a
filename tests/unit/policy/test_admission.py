"""Whether an attempt may start, and what happens instead."""

from typing import Any

import pytest

from tests.unit.policy.samples import NOW, UNDO, envelope, queue, rollback_of, task
from webhook_runner.policy.admission import Arrival, admit, wait_turn
from webhook_runner.policy.verdict import (
    Admission,
    Errand,
    Expire,
    Fail,
    Forward,
    Postpone,
    Proceed,
    Why,
)
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope


def admitted(
    of: Envelope | None = None, settings: QueueSettings | None = None, **arrival: Any
) -> Admission:
    came = Arrival(**({"queue": "q"} | arrival))
    return admit(of or envelope(), came, settings or queue(), NOW)


def test_a_task_that_is_due_proceeds() -> None:
    assert admitted() == Proceed()
    assert admitted(envelope(due_at=NOW)) == Proceed()


@pytest.mark.parametrize("due_at", [NOW + 0.001, NOW + 1.25, NOW + 3600, NOW + 1e9])
def test_a_task_that_is_not_due_is_postponed_without_an_attempt(due_at: float) -> None:
    verdict = admitted(envelope(due_at=due_at, attempt=3, gen=5))

    assert isinstance(verdict, Postpone)
    assert (verdict.until, verdict.why) == (due_at, Why.NOT_DUE)
    following = verdict.next
    assert (following.attempt, following.gen, following.due_at) == (3, 6, due_at)


@pytest.mark.parametrize(
    ("expires", "due_at", "paused_until", "verdict"),
    [
        (NOW, NOW - 1, 0.0, Expire),
        (NOW - 1, NOW - 1, 0.0, Expire),
        (NOW + 0.001, NOW - 1, 0.0, Proceed),
        (NOW + 100, NOW + 100, 0.0, Expire),
        (NOW + 100, NOW + 200, 0.0, Expire),
        (NOW + 100.001, NOW + 100, 0.0, Postpone),
        (NOW + 100, NOW - 1, NOW + 100, Expire),
        (NOW + 100.001, NOW - 1, NOW + 100, Postpone),
    ],
)
def test_a_task_whose_start_is_not_before_its_expiry_is_expired(
    expires: float, due_at: float, paused_until: float, verdict: type
) -> None:
    of = envelope(of=task(expires=expires, roll_back=UNDO), due_at=due_at)
    found = admitted(of, paused_until=paused_until)

    assert type(found) is verdict
    if isinstance(found, Expire):
        assert (found.failure.reason, found.failure.attempts) == ("expired", 0)
        assert found.rollback is not None


def test_the_attempts_before_the_expiry_are_told() -> None:
    of = envelope(of=task(expires=NOW), attempt=4, last_status=503, last_error="")
    found = admitted(of)

    assert isinstance(found, Expire)
    assert (found.failure.attempts, found.failure.last_status) == (3, 503)
    assert found.told["attempts"] == 3
    assert found.told["last_response"] is None


@pytest.mark.parametrize(("age", "verdict"), [(100, Fail), (100.1, Proceed), (0, Proceed)])
def test_a_task_that_is_too_old_fails(age: float, verdict: type) -> None:
    assert type(admitted(settings=queue(max_task_age=age))) is verdict


def test_a_roll_back_never_expires() -> None:
    assert admitted(rollback_of(task(id="t~rb", expires=NOW - 1))) == Proceed()


@pytest.mark.parametrize(
    ("due_at", "verdict"),
    [(NOW - 1, Forward), (NOW + 1.25, Forward), (NOW + 1.26, Postpone)],
)
def test_a_task_without_a_name_in_the_broker_gets_one_before_its_request(
    due_at: float, verdict: type
) -> None:
    found = admitted(envelope(named=False, due_at=due_at))

    assert type(found) is verdict
    assert isinstance(found, Forward | Postpone)
    assert found.next.named
    assert (found.next.gen, found.next.attempt, found.next.due_at) == (1, 1, due_at)
    if isinstance(found, Forward):
        assert found.errand is Errand.NAMED


def test_an_expired_task_needs_no_name() -> None:
    assert isinstance(admitted(envelope(of=task(expires=NOW), named=False)), Expire)


@pytest.mark.parametrize(
    "progress", [{}, {"named": False}, {"due_at": NOW + 500}, {"deaths": 50}, {"alone": 2}]
)
def test_a_task_of_another_queue_moves_on_before_anything_else(progress: dict[str, Any]) -> None:
    found = admitted(envelope(**progress), queue="other", redeliveries=20)

    assert isinstance(found, Forward)
    assert found.errand is Errand.ROUTED
    assert (found.next.gen, found.next.named) == (1, True)


def test_a_redelivery_that_the_broker_does_not_count_is_counted_in_the_next_copy() -> None:
    found = admitted(envelope(deaths=3), redeliveries=1, counted=False)

    assert isinstance(found, Forward)
    assert found.errand is Errand.COUNTED
    assert (found.next.deaths, found.next.doubtful, found.next.attempt) == (4, True, 1)


@pytest.mark.parametrize(
    ("redeliveries", "deaths", "verdict"),
    [(0, 0, Proceed), (10, 0, Proceed), (11, 0, Postpone), (0, 10, Proceed), (0, 11, Postpone)],
)
def test_ten_deaths_make_a_suspect(redeliveries: int, deaths: int, verdict: type) -> None:
    found = admitted(envelope(deaths=deaths), redeliveries=redeliveries)

    assert type(found) is verdict


def test_max_redeliveries_is_a_setting() -> None:
    settings = queue(max_redeliveries=2)

    assert admitted(settings=settings, redeliveries=2) == Proceed()
    assert isinstance(admitted(settings=settings, redeliveries=3), Postpone)


@pytest.mark.parametrize("counted", [True, False])
def test_a_suspect_waits_longer_each_time_and_fails_after_three_deaths_alone(
    *, counted: bool
) -> None:
    now = envelope(of=task(roll_back=UNDO), deaths=11)
    waits = []
    for alone in (1, 2, 3):
        verdict = admitted(now)
        assert isinstance(verdict, Postpone)
        assert verdict.why is Why.SUSPECT
        waits.append(verdict.until - NOW)
        now = verdict.next
        assert (now.alone, now.deaths, now.doubtful, now.attempt) == (alone, 0, True, 1)
        assert now.due_at == verdict.until
        now = envelope(of=now.task, alone=now.alone, deaths=now.deaths)  # due again
        assert admitted(now) == Proceed()
        now = died(now, counted=counted)

    assert waits == [60, 120, 240]
    found = admitted(now)
    assert isinstance(found, Fail)
    assert (found.failure.reason, found.failure.attempts) == ("crash_loop", 0)
    assert found.rollback is not None


def died(now: Envelope, *, counted: bool) -> Envelope:
    """Return what admission sees after a death: counted by the broker, or in the next copy."""
    if counted:
        return envelope(of=now.task, alone=now.alone, deaths=now.deaths + 1)
    found = admitted(now, redeliveries=1, counted=False)
    assert isinstance(found, Forward)
    return found.next


def test_a_paused_destination_holds_a_task_without_an_attempt() -> None:
    found = admitted(envelope(attempt=2), paused_until=NOW + 30)

    assert isinstance(found, Postpone)
    assert (found.why, found.until) == (Why.DESTINATION_PAUSED, NOW + 30)
    assert (found.next.attempt, found.next.due_at, found.next.gen) == (2, NOW + 30, 1)


def test_a_pause_that_is_over_holds_nothing() -> None:
    assert admitted(paused_until=NOW) == Proceed()
    assert admitted(paused_until=NOW - 1) == Proceed()


def test_a_task_that_is_not_due_is_not_kept_longer_for_a_pause() -> None:
    found = admitted(envelope(due_at=NOW + 10), paused_until=NOW + 30)

    assert isinstance(found, Postpone)
    assert (found.why, found.until) == (Why.NOT_DUE, NOW + 10)


@pytest.mark.parametrize(("others", "seconds"), [(1, 10), (2, 20), (5, 50)])
def test_suspects_that_came_together_take_turns_and_are_charged_with_nothing(
    others: int, seconds: float
) -> None:
    verdict = wait_turn(envelope(attempt=3, gen=5, deaths=4, alone=1), NOW, others)

    assert (verdict.until, verdict.why) == (NOW + seconds, Why.SUSPECT)
    following = verdict.next
    assert (following.due_at, following.gen, following.attempt) == (NOW + seconds, 6, 3)
    assert (following.deaths, following.alone) == (0, 1)
