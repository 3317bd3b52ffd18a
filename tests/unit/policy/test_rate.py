"""The token bucket: never above its rate, never idle without need, whatever the clock does."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.policy.rate import TokenBucket, default_bucket, prefetch

RATES = st.one_of(
    st.floats(1 / 86_400, 1e6),
    st.sampled_from([1 / 86_400, 0.1, 1.0, 1e6]),
)


def drain(bucket: TokenBucket, now: float, at_most: int = 1_000) -> int:
    return next((n for n in range(at_most) if not bucket.take(now)), at_most)


@given(RATES, st.floats(1, 50), st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_stretch_of_time_sees_more_than_its_rate_and_the_bucket(
    rate: float, size: float, gaps: list[float]
) -> None:
    now = 1_000.0
    bucket = TokenBucket(rate, size, now)
    taken = []
    for gap in gaps:
        now += gap / rate
        taken.append((now, drain(bucket, now)))
    for first, (start, _) in enumerate(taken):
        total = 0
        for end, count in taken[first:]:
            total += count
            allowed = Fraction(end - start) * Fraction(rate) + Fraction(size)
            assert total <= allowed + Fraction(1, 10**6)


@given(RATES, st.floats(0, 1e7))
def test_who_waits_as_long_as_told_gets_a_token(rate: float, now: float) -> None:
    bucket = TokenBucket(rate, 1.0, now)
    assert bucket.take(now)
    wait = bucket.wait(now)
    assert wait > 0
    assert bucket.take(now + wait)
    slack = 4 * (math.ulp(now) + math.ulp(1 / rate))
    assert wait == pytest.approx(1 / rate, rel=1e-9, abs=slack)


def test_a_very_small_rate_that_is_asked_often_is_exact() -> None:
    bucket = TokenBucket(1 / 86_400, 1.0, 0.0)
    assert bucket.take(0.0)
    for tenth in range(200_000):
        assert not bucket.take(tenth / 10)
    assert bucket.wait(20_000.0) == pytest.approx(66_400.0)
    assert not bucket.take(86_399.999)
    assert bucket.take(86_400.0)


def test_a_huge_rate_gives_a_fifth_of_a_second_at_once() -> None:
    bucket = TokenBucket(1e6, default_bucket(1e6), 50.0)
    assert drain(bucket, 50.0, 300_000) == 200_000
    assert drain(bucket, 50.001, 300_000) in {999, 1_000, 1_001}


def test_a_rate_of_infinity_never_waits() -> None:
    bucket = TokenBucket(math.inf, default_bucket(math.inf), 0.0)
    assert drain(bucket, 0.0) == 1_000
    assert bucket.wait(0.0) == 0


def test_a_rate_of_zero_gives_what_is_in_the_bucket_and_then_nothing() -> None:
    bucket = TokenBucket(0.0, 1.0, 0.0)
    assert bucket.take(0.0)
    assert bucket.wait(1e9) == math.inf
    assert not bucket.take(1e9)


def test_a_token_given_back_can_be_taken_again_and_never_overfills() -> None:
    bucket = TokenBucket(1.0, 2.0, 0.0)
    assert drain(bucket, 0.0) == 2
    bucket.give_back()
    assert drain(bucket, 0.0) == 1
    bucket.give_back()
    assert drain(bucket, 100.0) == 2


def test_new_limits_keep_what_is_earned() -> None:
    bucket = TokenBucket(1.0, 10.0, 0.0)
    assert drain(bucket, 0.0) == 10
    bucket.reconfigure(100.0, 50.0, 4.0)
    assert drain(bucket, 4.0) == 4
    bucket.reconfigure(100.0, 3.0, 5.0)
    assert drain(bucket, 5.0) == 3
    bucket.reconfigure(math.inf, math.inf, 5.0)
    assert drain(bucket, 5.0) == 1_000
    bucket.reconfigure(1.0, 2.0, 6.0)
    assert drain(bucket, 6.0) == 2


@given(st.lists(st.floats(-0.9, 0.9), max_size=50))
def test_stale_readings_of_the_clock_earn_nothing(errors: list[float]) -> None:
    bucket = TokenBucket(10.0, 1.0, 100.0)
    taken = sum(bucket.take(101.0 + error) for error in errors)
    assert taken <= (101.9 - 100.0) * 10 + 1


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    bucket = TokenBucket(1.0, 1.0, 5_000.0)
    assert bucket.take(5_000.0)
    assert not bucket.take(10.0)
    assert bucket.wait(10.0) == pytest.approx(1.0)
    assert bucket.take(11.0)


def test_a_reading_less_than_a_second_old_is_the_latest_one() -> None:
    bucket = TokenBucket(1.0, 1.0, 100.0)
    assert bucket.take(100.0)
    assert bucket.wait(99.5) == pytest.approx(1.0)
    assert not bucket.take(100.9)
    assert bucket.take(101.0)


def test_a_clock_that_was_set_back_by_a_second_goes_on_from_there() -> None:
    bucket = TokenBucket(1.0, 1.0, 100.0)
    assert bucket.take(100.0)
    assert bucket.wait(99.0) == pytest.approx(1.0)
    assert bucket.take(100.0)


def test_a_full_bucket_without_a_rate_does_not_wait() -> None:
    bucket = TokenBucket(0.0, 1.0, 0.0)
    assert bucket.wait(0.0) == 0


def test_no_bucket_holds_less_than_one_task_nor_more_for_it() -> None:
    bucket = TokenBucket(1.0, 5.0, 0.0)
    bucket.reconfigure(1.0, 0.5, 0.0)
    assert drain(bucket, 10.0) == 1


@pytest.mark.parametrize(
    ("concurrency", "rate", "expected"),
    [
        (10, math.inf, 50),
        (100, math.inf, 200),
        (5_000, math.inf, 2_000),
        (10, 0.5, 30),
        (10, 0.01, 1),
        (10, 0.0, 1),
        (100, 3.0, 180),
    ],
)
def test_prefetch_keeps_a_consumer_busy_for_no_more_than_a_minute(
    concurrency: int, rate: float, expected: int
) -> None:
    assert prefetch(concurrency, rate) == expected


@pytest.mark.parametrize(("rate", "size"), [(1.0, 1.0), (5.0, 1.0), (100.0, 20.0), (1 / 60, 1.0)])
def test_a_bucket_holds_a_fifth_of_a_second(rate: float, size: float) -> None:
    assert default_bucket(rate) == size
