"""The delay wheel: its geometry and its decisions, for any due time and any moment."""

import math

from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.policy.delay import RING, WHEEL, HandOver, Hold, Park, Slot, Wheel

NOW = 1_800_000_000.0
DAY = 86_400.0
SCALED = Wheel.scaled(0.02)
WHEELS = st.sampled_from([WHEEL, SCALED, Wheel.scaled(1 / 3)])
MOMENTS = st.floats(1.7e9, 2.5e9)
WAITS = st.one_of(
    st.floats(-DAY, 60.0),
    st.floats(0, 400 * DAY),
    st.sampled_from([41.0, 1.25, 1.3, 1_312.0, 41_984.0, 497.6 * DAY, 5_000 * DAY]),
)
CLOCK_SKEW_SECONDS = 4.0


def milliseconds(at: float) -> float:
    return round(at * 1000) / 1000


def test_a_slot_has_long_closed_when_its_next_lap_fills() -> None:
    for each in WHEEL.levels:
        spare = (WHEEL.ring - WHEEL.reach - 1) * each.width
        assert spare > each.grace + CLOCK_SKEW_SECONDS


def test_a_slot_opens_within_the_reach_of_the_level_below() -> None:
    for below, each in zip(WHEEL.levels, WHEEL.levels[1:], strict=False):
        assert each.width + each.lead + below.width <= WHEEL.reach * below.width


def test_the_reach_is_497_days() -> None:
    assert math.floor(WHEEL.reach * WHEEL.levels[-1].width / DAY) == 497


@given(WHEELS, MOMENTS, WAITS)
def test_a_place_covers_the_due_time_and_opens_in_good_time(
    wheel: Wheel, now: float, wait: float
) -> None:
    due = milliseconds(now + wait)
    slot = wheel.place(due, now)
    if slot is None:
        assert due - now < wheel.hold + wheel.margin + 1e-6
        return
    level = wheel.levels[slot.level]
    assert now + wheel.margin <= wheel.opens_at(slot) < due
    assert not wheel.is_open(slot, now)
    if due - now < wheel.reach * wheel.levels[-1].width:
        assert slot.index * level.width <= due < (slot.index + 1) * level.width
        assert all(due - now >= wheel.reach * each.width for each in wheel.levels[: slot.level])


@given(WHEELS, MOMENTS, WAITS)
def test_a_changed_task_always_gets_a_slot_that_is_or_will_be_open(
    wheel: Wheel, now: float, wait: float
) -> None:
    due = milliseconds(now + wait)
    slot = wheel.place_next(due, now)
    assert wheel.closes_at(slot) > now
    assert slot == (wheel.place(due, now) or wheel.slot(0, max(due, now)))


@given(WHEELS, st.floats(1.7e9, 2.5e9), st.integers(0, 4), st.integers(-2, 2))
def test_a_time_at_the_border_of_a_slot_lies_in_the_slot_that_begins_there(
    wheel: Wheel, at: float, level: int, ulps: int
) -> None:
    width = wheel.levels[level].width
    border = wheel.slot(level, at).index * width + ulps * math.ulp(at)
    slot = wheel.slot(level, border)
    assert slot.index * width <= border < (slot.index + 1) * width


@given(WHEELS, MOMENTS)
def test_the_open_slots_are_exactly_those_whose_time_it_is(wheel: Wheel, now: float) -> None:
    found = wheel.open_slots(now)
    for level in wheel.levels:
        near = wheel.slot(level.number, now).index
        for index in range(near - 40, near + 40):
            slot = Slot(level.number, index)
            assert (slot in found) == (wheel.opens_at(slot) <= now < wheel.closes_at(slot))
    assert len({(slot.level, slot.position) for slot in found}) == len(found)
    assert 25 <= len(found) <= 40


@given(WHEELS, MOMENTS)
def test_nothing_changes_before_the_next_change(wheel: Wheel, now: float) -> None:
    change = wheel.next_change(now)
    assert now < change
    assert wheel.open_slots(math.nextafter(change, now)) == wheel.open_slots(now)
    assert wheel.open_slots(change) != wheel.open_slots(now)


@given(wheel=WHEELS, now=MOMENTS, wait=WAITS, handed=st.booleans())
def test_a_task_is_handed_over_when_it_is_due_and_not_a_millisecond_sooner(
    *, wheel: Wheel, now: float, wait: float, handed: bool
) -> None:
    due = milliseconds(now + wait)
    match wheel.arrive(due, now, handed=handed):
        case HandOver():
            assert due <= now
        case Hold(until):
            assert until == due > now
            assert due - now <= (wheel.handed_hold if handed else wheel.hold + wheel.margin)
        case Park(slot):
            assert slot == wheel.place(due, now)


def test_what_was_handed_over_waits_ten_seconds_at_most() -> None:
    assert WHEEL.arrive(NOW + 10, NOW, handed=True) == Hold(NOW + 10)
    assert WHEEL.arrive(NOW + 10, NOW, handed=False) == Park(Slot(0, 1_800_000_010))
    assert WHEEL.arrive(NOW + 10.001, NOW, handed=True) == Park(Slot(0, 1_800_000_010))


@given(WHEELS, MOMENTS, st.floats(math.log(0.001), math.log(400 * DAY)))
def test_a_wheel_that_turns_well_carries_a_task_in_five_hops_down(
    wheel: Wheel, now: float, logarithm: float
) -> None:
    due = milliseconds(now + math.exp(logarithm) * wheel.levels[0].width)
    levels: list[Slot] = []
    while isinstance(arrival := wheel.arrive(due, now, handed=False), Park):
        assert not levels or arrival.slot.level < levels[-1].level
        assert not levels or not wheel.would_return(levels[-1], due, now)
        levels.append(arrival.slot)
        now = wheel.opens_at(arrival.slot)
    assert len(levels) <= 5
    assert now <= due or not levels


def test_a_wait_beyond_the_reach_is_parked_as_far_as_possible_and_again() -> None:
    due, now, hops = NOW + 3_000 * DAY, NOW, 0
    while isinstance(arrival := WHEEL.arrive(due, now, handed=False), Park):
        if due - now > 500 * DAY:
            assert WHEEL.opens_at(arrival.slot) - now > 480 * DAY
        now, hops = WHEEL.opens_at(arrival.slot), hops + 1
    assert hops == 11
    assert due - now <= 1.25


@given(MOMENTS, st.integers(0, 4), st.integers(1, 3))
def test_a_task_of_the_next_lap_would_return_until_its_own_slot_opens(
    now: float, level: int, laps: int
) -> None:
    consumed = WHEEL.slot(level, now)
    own = Slot(level, consumed.index + laps * RING)
    due = milliseconds((own.index + 0.5) * WHEEL.levels[level].width)
    assert own.position == consumed.position
    assert WHEEL.would_return(consumed, due, WHEEL.opens_at(own) - 0.001)
    assert not WHEEL.would_return(consumed, due, WHEEL.opens_at(own))


def test_a_task_would_return_to_its_slot_when_the_clock_was_set_back() -> None:
    slot = WHEEL.slot(0, NOW + 20)
    assert WHEEL.would_return(slot, NOW + 20.5, NOW)
    assert not WHEEL.would_return(slot, NOW + 20.5, NOW + 20)
    assert not WHEEL.would_return(slot, NOW + 21.5, NOW)


def test_what_is_due_beyond_the_reach_would_return_to_the_queue_that_reaches_furthest() -> None:
    due = NOW + 3_000 * DAY
    furthest = WHEEL.place(due, NOW)
    assert furthest is not None
    before = Slot(furthest.level, furthest.index - RING)
    assert WHEEL.would_return(before, due, NOW)
    assert not WHEEL.would_return(Slot(before.level, before.index + 1), due, NOW)


def test_the_queues_of_the_wheel_stay_those_that_stand_in_brokers() -> None:
    """Other widths or another ring would find tasks waiting where nobody looks."""
    assert RING == WHEEL.ring == 64
    assert [(each.number, each.width) for each in WHEEL.levels] == [
        (0, 1),
        (1, 32),
        (2, 1_024),
        (3, 32_768),
        (4, 1_048_576),
    ]
    assert WHEEL.lap == 64


def test_slots_open_a_quarter_early_and_stay_open_for_a_while() -> None:
    assert [each.lead / each.width for each in WHEEL.levels] == [0.25] * 5
    assert [each.grace for each in WHEEL.levels] == [16, 256, 1_200, 3_600, 3_600]


def test_a_wheel_in_a_hurry_is_the_same_with_shorter_times() -> None:
    fast = Wheel.scaled(0.5)
    assert (fast.hold, fast.handed_hold, fast.margin) == (0.625, 5.0, 0.025)
    assert (fast.ring, fast.reach) == (WHEEL.ring, WHEEL.reach)
    for quick, plain in zip(fast.levels, WHEEL.levels, strict=True):
        assert (quick.number, quick.width * 2) == (plain.number, plain.width)
        assert (quick.lead * 2, quick.grace * 2) == (plain.lead, plain.grace)
    assert (WHEEL.hold, WHEEL.handed_hold, WHEEL.margin) == (1.25, 10.0, 0.05)
