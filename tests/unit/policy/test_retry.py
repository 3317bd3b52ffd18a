"""The outcome table, one row per cell, and how attempts are counted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.policy.samples import (
    NOW,
    UNDO,
    after,
    answer,
    delay_after,
    envelope,
    queue,
    rollback_of,
    task,
)
from webhook_runner.policy.answer import FINAL_WHEN_SMART
from webhook_runner.policy.retry import decide
from webhook_runner.policy.verdict import Complete, Expire, Fail, Postpone, Release, Retry, Why
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, Failure
from webhook_runner.task.outcome import (
    Interrupted,
    Outcome,
    Refused,
    TimedOut,
    Trouble,
    Unreachable,
)

SUCCESSES = [answer(200), answer(204), answer(299)]
FAILURES: list[Outcome] = [
    answer(199), answer(301), answer(304), answer(400), answer(404), answer(408), answer(409),
    answer(410), answer(421), answer(423), answer(425), answer(429), answer(500), answer(501),
    answer(503), answer(505), answer(599), TimedOut(60.0), TimedOut(0.1, sent=False),
    *[Unreachable(trouble) for trouble in Trouble],
]  # fmt: skip
FINALS = [Refused("egress"), Refused("extension", "no credit"), Refused("certificate")]
STOPPED = [Interrupted(), Interrupted(sent=False)]
LEFT = task(max_retries=3)
NONE_LEFT = task(max_retries=0)
TOO_LATE = task(max_retries=3, expires=NOW + 5)
CELLS: list[tuple[list[Any], type, type, type]] = [
    (SUCCESSES, Complete, Complete, Complete),
    (FAILURES, Retry, Fail, Expire),
    (FINALS, Fail, Fail, Fail),
    (STOPPED, Release, Release, Release),
]
TABLE = [
    (outcome, of, verdict)
    for outcomes, *verdicts in CELLS
    for outcome in outcomes
    for of, verdict in zip((LEFT, NONE_LEFT, TOO_LATE), verdicts, strict=True)
]


@pytest.mark.parametrize(("outcome", "of", "verdict"), TABLE)
def test_each_cell_of_the_outcome_table(outcome: Outcome, of: Any, verdict: type) -> None:
    settings = queue(min_backoff_seconds=10)

    assert type(decide(envelope(of=of), outcome, settings, NOW, 0.0)) is verdict


def requests_made(settings: QueueSettings, most: int = 50, **fields: Any) -> int:
    """Let every attempt fail with 500, and count them."""
    now: Envelope = envelope(of=task(**fields))
    for number in range(1, most + 1):
        verdict = decide(now, answer(500), settings, NOW, 0.0)
        if not isinstance(verdict, Retry):
            assert isinstance(verdict, Fail)
            assert verdict.failure == Failure("retries_exhausted", number, last_status=500)
            return number
        assert verdict.next.attempt == now.attempt + 1
        assert verdict.next.gen == now.gen + 1
        now = verdict.next
    return most


@pytest.mark.parametrize(
    ("max_retries", "retry_limit", "requests"),
    [
        (0, -1, 1), (1, -1, 2), (7, -1, 8), (None, -1, 50), (-1, -1, 50),
        (None, 0, 1), (None, 4, 5), (-1, 4, 5), (2, 4, 3), (9, 4, 5), (0, 4, 1), (4, 0, 1),
    ],
)  # fmt: skip
def test_max_retries_is_capped_by_the_queue(
    max_retries: int | None, retry_limit: int, requests: int
) -> None:
    assert requests_made(queue(retry_limit=retry_limit), max_retries=max_retries) == requests


@pytest.mark.parametrize(
    ("max_retries", "retry_limit", "requests"),
    [(0, -1, 1), (1, -1, 1), (3, -1, 3), (None, -1, 50), (None, 3, 3), (9, 3, 3), (2, 3, 2)],
)
def test_limits_may_count_attempts_instead(
    max_retries: int | None, retry_limit: int, requests: int
) -> None:
    settings = queue(retry_limit=retry_limit, max_retries_counts="attempts")

    assert requests_made(settings, max_retries=max_retries) == requests


@pytest.mark.parametrize("trouble", list(Trouble))
def test_an_uncounted_transport_error_keeps_the_attempt_but_lengthens_the_backoff(
    trouble: Trouble,
) -> None:
    settings = queue(count_transport_errors=False, min_backoff_seconds=10)
    now = envelope(of=NONE_LEFT)
    delays = []
    for _ in range(4):
        verdict = decide(now, Unreachable(trouble), settings, NOW, 0.0)
        assert isinstance(verdict, Retry)
        delays.append(verdict.delay)
        now = verdict.next

    assert delays == [10, 20, 40, 80]
    assert (now.attempt, now.uncounted, now.gen) == (1, 4, 4)
    assert isinstance(decide(now, answer(500), settings, NOW, 0.0), Fail)


def test_a_timeout_counts_even_where_transport_errors_do_not() -> None:
    settings = queue(count_transport_errors=False)

    assert isinstance(after(TimedOut(60.0), settings, of=NONE_LEFT), Fail)


def test_a_snooze_is_not_counted_and_is_capped() -> None:
    settings = queue(max_snoozes=3)
    snooze = answer(503, webhook_runner_retry="snooze=30")
    now = envelope(of=NONE_LEFT)
    for number in range(1, 4):
        verdict = decide(now, snooze, settings, NOW, 0.0)
        assert isinstance(verdict, Postpone)
        assert (verdict.why, verdict.until, verdict.next.due_at) == (
            Why.SNOOZED,
            NOW + 30,
            NOW + 30,
        )
        assert (verdict.next.attempt, verdict.next.snoozes) == (1, number)
        now = verdict.next

    assert isinstance(decide(now, snooze, settings, NOW, 0.0), Fail)
    assert isinstance(decide(replace(now, task=LEFT), snooze, settings, NOW, 0.0), Retry)


def test_a_snooze_past_the_expiry_ends_the_task() -> None:
    verdict = after(answer(503, webhook_runner_retry="snooze=5"), of=TOO_LATE)

    assert isinstance(verdict, Expire)
    assert verdict.failure.detail == "expires_before_retry"


def test_never_stops_a_task_with_attempts_left() -> None:
    verdict = after(answer(500, webhook_runner_retry="never"), of=LEFT)

    assert isinstance(verdict, Fail)
    assert verdict.failure.reason == "stopped"


def test_an_order_on_a_success_changes_nothing() -> None:
    for order in ("never", "after=5", "snooze=5"):
        assert after(answer(200, webhook_runner_retry=order)) == Complete(200)


def test_after_names_the_wait_exactly_and_counts() -> None:
    settings = queue(jitter=0.5, min_backoff_seconds=100)
    outcome = answer(500, webhook_runner_retry="after=7.5", retry_after="50")

    assert delay_after(outcome, settings, u=0.9) == 7.5
    assert after(outcome, settings).next.attempt == 2
    assert isinstance(after(outcome, settings, of=NONE_LEFT), Fail)


def test_after_beats_a_status_that_would_be_final() -> None:
    settings = queue(retry_on="smart")

    assert isinstance(after(answer(404), settings), Fail)
    assert isinstance(after(answer(404, webhook_runner_retry="after=5"), settings), Retry)


def test_after_nothing_is_no_hot_loop_and_after_too_much_is_capped() -> None:
    assert delay_after(answer(500, webhook_runner_retry="after=0")) == 0.1
    assert delay_after(answer(500, webhook_runner_retry=f"after={'9' * 400}")) == 86400


@pytest.mark.parametrize("status", sorted(FINAL_WHEN_SMART))
def test_smart_ends_what_no_repetition_mends_and_all_does_not(status: int) -> None:
    verdict = after(answer(status), queue(retry_on="smart"))

    assert isinstance(verdict, Fail)
    assert verdict.failure.reason == "non_retryable"
    assert isinstance(after(answer(status)), Retry)


@pytest.mark.parametrize("status", [302, 402, 408, 409, 421, 423, 425, 429, 500, 502, 503, 504])
def test_smart_repeats_what_may_mend_itself(status: int) -> None:
    assert isinstance(after(answer(status), queue(retry_on="smart")), Retry)


@pytest.mark.parametrize(("expires", "verdict"), [(NOW + 10, Expire), (NOW + 10.001, Retry)])
def test_a_retry_due_at_its_expiry_is_too_late(expires: float, verdict: type) -> None:
    settings = queue(min_backoff_seconds=10)

    assert type(after(answer(500), settings, of=task(expires=expires))) is verdict


def test_the_last_attempt_of_a_task_that_also_expires_is_a_failure() -> None:
    verdict = after(answer(500), of=task(max_retries=0, expires=NOW + 0.1))

    assert isinstance(verdict, Fail)
    assert verdict.failure.reason == "retries_exhausted"


@pytest.mark.parametrize(("age", "verdict"), [(110, Fail), (110.1, Retry), (0, Retry)])
def test_no_retry_is_planned_past_the_greatest_age(age: float, verdict: type) -> None:
    found = after(answer(500), queue(min_backoff_seconds=10, max_task_age=age))

    assert type(found) is verdict
    if isinstance(found, Fail):
        assert found.failure.reason == "max_age"


def test_a_roll_back_ignores_expiry_and_has_its_own_limit() -> None:
    settings = queue(retry_limit=0, rollback_retry_limit=2)
    too_late = task(id="t~rb", expires=NOW - 1, max_retries=0)
    verdicts = [
        decide(rollback_of(too_late, attempt=n), answer(500), settings, NOW, 0.0) for n in (1, 2, 3)
    ]

    assert [type(verdict) for verdict in verdicts] == [Retry, Retry, Fail]
    assert isinstance(verdicts[2], Fail)
    assert verdicts[2].rollback is None


def test_a_roll_back_may_be_tried_for_ever() -> None:
    settings = queue(rollback_retry_limit=-1)

    assert isinstance(decide(rollback_of(attempt=10**6), answer(500), settings, NOW, 0.0), Retry)


def test_a_failure_carries_the_roll_back_and_what_was_met() -> None:
    verdict = after(answer(500), of=task(max_retries=0, roll_back=UNDO))

    assert isinstance(verdict, Fail)
    assert verdict.rollback is not None
    assert verdict.rollback.task.id == "t~rb"
    assert verdict.told["last_status"] == 500


@pytest.mark.parametrize(
    ("outcome", "status", "error", "doubtful"),
    [
        (answer(503), 503, "", False),
        (TimedOut(60.0), None, "timeout", True),
        (TimedOut(60.0, sent=False), None, "timeout", False),
        (Unreachable(Trouble.DNS), None, "dns", False),
        (Unreachable(Trouble.RESET, sent=True), None, "reset", True),
    ],
)
def test_the_next_attempt_knows_what_the_last_one_met(
    outcome: Outcome, status: int | None, error: str, *, doubtful: bool
) -> None:
    before: dict[str, Any] = {
        "last_status": 418,
        "last_error": "old",
        "deaths": 4,
        "alone": 2,
        "named": False,
    }
    verdict = after(outcome, **before)

    assert isinstance(verdict, Retry)
    following = verdict.next
    assert (following.last_status, following.last_error) == (status, error)
    assert following.doubtful is doubtful
    assert (following.deaths, following.alone, following.named) == (0, 0, True)
    assert verdict.reason == (error or "503")
    assert following.task is envelope().task or following.task == envelope().task


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True), st.sampled_from(FAILURES))
def test_a_retry_is_always_in_the_future_and_finite(n: int, u: float, outcome: Outcome) -> None:
    verdict = decide(envelope(attempt=n), outcome, QueueSettings(), NOW, u)

    assert isinstance(verdict, Retry)
    assert 0.1 <= verdict.delay <= 1.1 * 604800


def test_a_roll_back_is_not_too_old_to_be_tried_again() -> None:
    old = rollback_of(first_at=NOW - 100)
    assert isinstance(decide(old, answer(500), queue(max_task_age=1), NOW, 0.0), Retry)
