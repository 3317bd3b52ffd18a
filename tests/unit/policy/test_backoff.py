"""The retry delay: the formula row by row, the presets, and what must hold for any numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.policy.backoff import (
    LONGEST,
    STANDARD,
    backoff,
    fixed_schedule,
    sidekiq,
    standard,
)

MONOTONE = st.tuples(st.floats(0, 1e6), st.floats(-1, 1e9), st.integers(-1, 1_100))


def plain(retry: int, minimum: float, maximum: float, doublings: int) -> float:
    return backoff(retry, minimum=minimum, maximum=maximum, doublings=doublings, jitter=0, u=0.5)


@pytest.mark.parametrize(
    ("minimum", "maximum", "doublings", "expected"),
    [
        (10, 200, 3, [10, 20, 40, 80, 160, 200, 200]),
        (10, 300, 3, [10, 20, 40, 80, 160, 240, 300]),
        (10, 200, 0, [10 * n for n in range(1, 21)] + [200]),
        (1, 604_800, -1, [2**n for n in range(20)] + [604_800]),
        (1, -1, -1, [2**n for n in range(30)]),
        (5, 2, 3, [2, 2]),
        (0, 1, -1, [0.1, 0.2, 0.4, 0.8, 1]),
        (1, 0, -1, [0.1, 0.1]),
    ],
)
def test_the_delay_doubles_then_grows_evenly_then_stays(
    minimum: float, maximum: float, doublings: int, expected: list[float]
) -> None:
    assert [plain(n, minimum, maximum, doublings) for n in range(1, len(expected) + 1)] == expected


@given(MONOTONE, st.integers(1, 10**6))
def test_the_delay_never_shrinks_from_one_retry_to_the_next(
    policy: tuple[float, float, int], retry: int
) -> None:
    minimum, maximum, doublings = policy
    assert plain(retry, minimum, maximum, doublings) <= plain(
        retry + 1, minimum, maximum, doublings
    )


@given(MONOTONE, st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_jitter_only_lengthens_and_by_no_more_than_its_share(
    policy: tuple[float, float, int], retry: int, jitter: float, u: float
) -> None:
    minimum, maximum, doublings = policy
    base = plain(retry, minimum, maximum, doublings)
    delay = backoff(
        retry, minimum=minimum, maximum=maximum, doublings=doublings, jitter=jitter, u=u
    )
    assert base <= delay <= base * (1 + jitter)
    assert 0 < base <= LONGEST


@pytest.mark.parametrize("doublings", [-1, 0, 3, 5_000])
def test_the_millionth_retry_without_a_cap_has_a_finite_delay(doublings: int) -> None:
    assert math.isfinite(plain(10**6, 604_800, -1, doublings))


def test_a_schedule_is_followed_and_its_last_entry_repeats() -> None:
    delays = [fixed_schedule(n, schedule=(5, 300, 1_800), jitter=0, u=0) for n in range(1, 6)]
    assert delays == [5, 300, 1_800, 1_800, 1_800]
    assert fixed_schedule(1, schedule=(10,), jitter=0.1, u=0.5) == pytest.approx(10.5)
    assert fixed_schedule(1, schedule=(0,), jitter=0, u=0) == 0.1
    assert fixed_schedule(1, schedule=(0.5,), jitter=0, u=0) == 0.5


def test_the_standard_schedule_is_that_of_standard_webhooks() -> None:
    hours = [3_600.0 * n for n in (2, 5, 10, 14, 20, 24)]
    assert [5.0, 300.0, 1_800.0, *hours] == list(STANDARD)
    assert [standard(n, jitter=0, u=0) for n in (1, 9, 10)] == [5, 86_400, 86_400]


def test_sidekiq_grows_with_the_fourth_power_and_a_little_noise() -> None:
    assert [sidekiq(n, u=0) for n in (1, 2, 3, 10)] == [16, 31, 96, 10_015]
    assert sidekiq(2, u=0.5) == 31 + 15
    assert sidekiq(10**6, u=0.9) == LONGEST
