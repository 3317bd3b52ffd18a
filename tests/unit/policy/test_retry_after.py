"""How long the next attempt waits: spacing, Retry-After and its relatives."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.policy.samples import NOW, after, answer, delay_after, envelope, queue, task
from webhook_runner.policy.retry import decide, destination_pause
from webhook_runner.policy.verdict import Fail, Postpone, Retry
from webhook_runner.task.outcome import (
    Outcome,
    Responded,
    TimedOut,
)

DATE = datetime.fromtimestamp(NOW + 600, UTC)
BAD_WAITS = ["", "soon", "-5", "-0.1", "NaN", "inf", "1e3", "0x10", "5 s", "1,5", "1.2.3", "٣", "²",
             ".", "Mon", "Mon, 99 Foo 2026 99:99:99 GMT", "Sun, 06 Nov 1994 08:49:37 GMT",
             "Sun, 06 Nov 99999999999999 08:49:37 GMT", "\x00", "0", "0.0"]  # fmt: skip


@pytest.mark.parametrize("status", [429, 503, 500, 301, 408])
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("600", 600.0), ("600.5", 600.5), (" 600 ", 600.0), ("000600", 600.0),
        (format_datetime(DATE, usegmt=True), 600.0),
        (DATE.strftime("%A, %d-%b-%y %H:%M:%S GMT"), 600.0),
        (DATE.strftime("%a %b %d %H:%M:%S %Y"), 600.0),
        (format_datetime(DATE.astimezone(timezone(timedelta(hours=2)))), 600.0),
        ("1000000000", 86400.0), ("1500000000", 86400.0), ("9" * 400, 86400.0),
    ],
)  # fmt: skip
def test_retry_after_lengthens_the_wait(status: int, text: str, seconds: float) -> None:
    assert delay_after(answer(status, retry_after=text)) == seconds


@pytest.mark.parametrize("text", BAD_WAITS)
def test_a_retry_after_that_is_nonsense_or_past_is_ignored(text: str) -> None:
    assert delay_after(answer(503, retry_after=text)) == 1
    assert destination_pause(answer(503, retry_after=text), queue(), NOW) == 0


READ_HEADERS = st.sampled_from(["retry-after", "x-ratelimit-reset", "webhook-runner-retry"])


@given(st.text(max_size=60), READ_HEADERS)
def test_no_header_breaks_the_decision(text: str, name: str) -> None:
    outcome = Responded(503, {name: text})
    verdict = decide(envelope(), outcome, queue(rate_headers=True), NOW, 0.0)

    assert isinstance(verdict, Retry | Postpone | Fail)
    assert 0 <= destination_pause(outcome, queue(rate_headers=True), NOW) <= 86400


def test_retry_after_never_shortens_the_backoff() -> None:
    assert delay_after(answer(503, retry_after="5"), queue(min_backoff_seconds=60)) == 60


def test_retry_after_is_exact_and_the_backoff_has_jitter() -> None:
    settings = queue(min_backoff_seconds=10, jitter=0.5)

    assert delay_after(answer(503), settings, u=0.5) == 12.5
    assert delay_after(answer(503, retry_after="60"), settings, u=0.5) == 60


def test_retry_after_is_capped_by_the_queue_and_counts_as_a_retry() -> None:
    settings = queue(retry_after_max=30)

    assert delay_after(answer(503, retry_after="60"), settings) == 30
    assert after(answer(503, retry_after="60"), settings).next.attempt == 2
    assert isinstance(after(answer(503, retry_after="60"), of=task(max_retries=0)), Fail)


@pytest.mark.parametrize("name", ["ratelimit_reset", "x_ratelimit_reset"])
@pytest.mark.parametrize("text", ["90", str(int(NOW) + 90)])
def test_rate_headers_are_read_when_asked_for(name: str, text: str) -> None:
    outcome = answer(429, **{name: text})

    assert delay_after(outcome, queue(rate_headers=True)) == 90
    assert delay_after(outcome) == 1


@pytest.mark.parametrize("text", ["1000000000", str(int(NOW) - 1), "-5", "soon", "0"])
def test_a_reset_that_is_past_or_nonsense_is_ignored(text: str) -> None:
    assert delay_after(answer(429, x_ratelimit_reset=text), queue(rate_headers=True)) == 1


def test_a_wait_of_less_than_a_second_is_a_wait() -> None:
    assert destination_pause(answer(503, retry_after="0.5"), queue(), NOW) == 0.5


def test_retry_after_goes_before_the_rate_headers() -> None:
    outcome = answer(429, retry_after="20", ratelimit_reset="90")

    assert delay_after(outcome, queue(rate_headers=True)) == 20


@pytest.mark.parametrize(
    ("outcome", "seconds"),
    [
        (answer(429, retry_after="60"), 60), (answer(503, retry_after="60"), 60),
        (answer(500, retry_after="60"), 0), (answer(429), 0), (TimedOut(60.0), 0),
        (answer(429, retry_after="1000000000"), 86400),
    ],
)  # fmt: skip
def test_only_429_and_503_with_retry_after_pause_the_destination(
    outcome: Outcome, seconds: float
) -> None:
    assert destination_pause(outcome, queue(), NOW) == seconds


@pytest.mark.parametrize(
    ("settings", "delays"),
    [
        ({"schedule": "5,300"}, [5, 300, 300]),
        ({"backoff": "sidekiq"}, [16, 31, 96]),
        ({"backoff": "standard"}, [5, 300, 1800]),
        ({"min_backoff_seconds": 0}, [0.1, 0.2, 0.4]),
        ({"min_backoff_seconds": 10, "max_doublings": 0}, [10, 20, 30]),
    ],
)
def test_each_way_to_space_retries(settings: dict[str, Any], delays: list[float]) -> None:
    found = [
        decide(envelope(attempt=n), answer(500), queue(**settings), NOW, 0.0) for n in (1, 2, 3)
    ]

    assert [verdict.delay for verdict in found if isinstance(verdict, Retry)] == delays
