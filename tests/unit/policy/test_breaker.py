"""When a breaker opens, who may try a destination while it is, and when it is closed again."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.policy.breaker import (
    SLICES,
    Breaker,
    BreakerState,
    Turn,
    is_gone,
    is_well,
)
from webhook_runner.settings import BreakerSettings, QueueSettings
from webhook_runner.task.outcome import (
    Interrupted,
    Outcome,
    Refused,
    Responded,
    TimedOut,
    Trouble,
    Unreachable,
)
from webhook_runner.values import Codes

RULES = BreakerSettings()
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def met(breaker: Breaker, well: bool | None, now: float) -> Turn | None:
    assert breaker.may_begin(now)
    return breaker.end(breaker.begin(now), well=well, now=now, rules=RULES)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    turns = [met(breaker, False, now) for _ in range(RULES.min_requests)]
    assert turns[-1] is Turn.OPENED
    return breaker


@pytest.mark.parametrize(
    ("before", "apart", "is_open"),
    [
        ("x" * 19, 0.0, False),
        ("x" * 20, 0.0, True),
        ("." * 10 + "x" * 10, 0.0, True),
        ("." * 11 + "x" * 10, 0.0, False),
        ("x" * 10 + "." * 10, 0.0, True),
        ("." * 1000, 0.0, False),
        ("x" * 20, 2.8, True),
        ("x" * 40, 3.3, False),
        ("?" * 100, 0.0, False),
        ("x" * 19 + "?" * 100, 0.0, False),
    ],
)
def test_the_breaker_opens_by_the_requests_and_the_failures_of_its_window(
    before: str, apart: float, is_open: bool
) -> None:
    breaker, wells = Breaker(), {"x": False, ".": True, "?": None}
    now = 0.0
    for letter in before:
        now += apart
        met(breaker, wells[letter], now)

    assert (breaker.state(now) is OPEN) is is_open
    assert breaker.may_begin(now) is not is_open


def test_an_open_breaker_lets_one_probe_through_when_its_time_is_over() -> None:
    breaker = opened()
    assert not breaker.may_begin(29.999)
    assert breaker.state(30) is HALF_OPEN
    assert breaker.may_begin(30)
    era = breaker.begin(30)
    assert not breaker.may_begin(1000)
    assert breaker.probing(31) == 1

    assert breaker.end(era, well=True, now=31, rules=RULES) is None
    assert breaker.state(31) is HALF_OPEN
    assert met(breaker, True, 31) is Turn.CLOSED
    assert breaker.state(31) is CLOSED
    assert breaker.counts(31, RULES) == (0, 0)


def test_each_failed_probe_doubles_the_time_up_to_the_longest_and_a_close_begins_anew() -> None:
    breaker, now, waits = opened(), 0.0, list[float]()
    for _ in range(7):
        waits.append(breaker.until - now)
        now = breaker.until
        assert met(breaker, False, now) is Turn.REOPENED
    assert waits == [30, 60, 120, 240, 480, 600, 600]

    now = breaker.until
    assert met(breaker, True, now) is None
    assert met(breaker, True, now) is Turn.CLOSED
    for _ in range(RULES.min_requests):
        met(breaker, False, now)
    assert breaker.until == now + 30


def test_a_failure_after_the_first_good_probe_opens_it_for_longer() -> None:
    breaker = opened()
    met(breaker, True, 30)
    assert met(breaker, False, 31) is Turn.REOPENED
    assert breaker.until == 31 + 60
    met(breaker, True, 91)
    assert breaker.state(91) is HALF_OPEN  # the first one does not count any more


def test_a_probe_that_met_nothing_frees_its_place() -> None:
    breaker = opened()
    assert met(breaker, None, 30) is None
    assert breaker.may_begin(30)
    assert breaker.state(30) is HALF_OPEN


def test_what_began_before_the_breaker_turned_is_not_counted() -> None:
    breaker = Breaker()
    eras = [breaker.begin(0) for _ in range(50)]
    assert set(eras) == {breaker.era}
    for era in eras[:20]:
        breaker.end(era, well=False, now=0, rules=RULES)
    assert breaker.state(0) is OPEN
    for era in eras[20:40]:
        assert breaker.end(era, well=False, now=1, rules=RULES) is None
    assert breaker.until == 30
    probe = breaker.begin(30)
    for era in eras[40:]:
        assert breaker.end(era, well=True, now=31, rules=RULES) is None
    assert probe == breaker.era
    assert not breaker.may_begin(31)
    breaker.close()
    assert breaker.end(probe, well=False, now=32, rules=RULES) is None
    assert breaker.counts(32, RULES) == (0, 0)


def test_a_breaker_that_is_switched_off_stays_closed() -> None:
    breaker, off = Breaker(), BreakerSettings(enabled=False)
    for _ in range(1000):
        assert breaker.end(breaker.begin(0), well=False, now=0, rules=off) is None
    assert breaker.is_closed


Step = tuple[float, bool | None]
steps = st.lists(
    st.tuples(
        st.integers(0, 40 * 64).map(lambda each: each / 64),
        st.sampled_from([True, False, False, False, None]),
    ),
    max_size=200,
)


@given(steps, st.integers(1, 8), st.floats(0.1, 1))
def test_it_opens_exactly_when_the_window_says_so(
    steps: list[Step], least: int, ratio: float
) -> None:
    rules = BreakerSettings(min_requests=least, failure_ratio=ratio)
    breaker, now, seen = Breaker(), 0.0, list[tuple[int, bool]]()
    for wait, well in steps:
        now += wait
        index = int(now / (rules.window_seconds / SLICES))
        turn = breaker.end(breaker.begin(now), well=well, now=now, rules=rules)
        if well is not None:
            seen.append((index, well))
        window = [good for at, good in seen if at > index - SLICES]
        failures = window.count(False)
        ill = well is not None and len(window) >= least and failures >= ratio * len(window)
        assert (turn is Turn.OPENED) is (ill and failures > 0)
        assert breaker.counts(now, rules) == (len(window), failures)
        if turn:
            breaker.close()
            seen.clear()


@given(steps)
def test_while_it_is_open_nothing_begins_and_then_one_at_a_time(steps: Iterable[Step]) -> None:
    breaker, now, under_way = opened(), 0.0, list[int]()
    for wait, well in steps:
        now += wait
        was_open = breaker.state(now)
        if breaker.may_begin(now):
            assert was_open is not OPEN
            assert was_open is CLOSED or not under_way
            era = breaker.begin(now)
            if was_open is HALF_OPEN:
                under_way.append(era)
                assert not breaker.may_begin(now)
                continue
            breaker.end(era, well=well, now=now, rules=RULES)
        elif under_way:
            breaker.end(under_way.pop(), well=well, now=now, rules=RULES)
        else:
            assert was_open is OPEN
        assert breaker.until <= now + RULES.max_open_seconds


@pytest.mark.parametrize(
    ("outcome", "well"),
    [
        (Responded(200), True),
        (Responded(404), True),
        (Responded(302), True),
        (Responded(429), False),
        (Responded(500), False),
        (Responded(501), False),
        (Responded(599), False),
        (TimedOut(1), False),
        *((Unreachable(each), False) for each in Trouble if each not in {"resource", "internal"}),
        (Unreachable(Trouble.RESOURCE), None),
        (Unreachable(Trouble.INTERNAL), None),
        (Refused("egress"), None),
        (Interrupted(), None),
    ],
)
def test_what_an_outcome_says_of_its_destination(outcome: Outcome, *, well: bool | None) -> None:
    assert is_well(outcome, QueueSettings()) is well


def test_what_a_queue_calls_a_success_is_one() -> None:
    assert is_well(Responded(503), QueueSettings(success_codes=Codes(((503, 503),))))


def test_only_a_queue_that_says_so_takes_410_for_the_whole_destination() -> None:
    assert is_gone(Responded(410), QueueSettings(gone_disables=True))
    assert not is_gone(Responded(410), QueueSettings())
    assert not is_gone(Responded(404), QueueSettings(gone_disables=True))
