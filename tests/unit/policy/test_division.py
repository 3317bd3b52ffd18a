"""The parts of a limit make the whole, and a division that changes never exceeds it."""

import math

from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.policy.division import Portion, parts, portions, staged

counts = st.integers(1, 64)
rates = st.one_of(st.just(math.inf), st.floats(0.001, 10_000))
wholes = st.builds(
    Portion,
    concurrency=st.integers(1, 10_000),
    rate=rates,
    bucket=st.one_of(st.just(0.0), st.floats(1, 5_000)),
    per_host=st.one_of(st.just(0), st.integers(1, 10_000)),
)


@given(st.integers(0, 100_000), counts)
def test_the_parts_of_a_number_are_the_number_and_nearly_equal(whole: int, count: int) -> None:
    found = parts(whole, count)

    assert (sum(found), len(found)) == (whole, count)
    assert min(found) >= 0
    assert max(found) - min(found) <= 1


@given(st.text(min_size=1), wholes, counts)
def test_the_shares_of_a_queue_are_its_limits(name: str, whole: Portion, count: int) -> None:
    found = portions(name, whole, count)
    active = [each for each in found if each.concurrency]

    assert len(found) == count
    assert sum(each.concurrency for each in found) == whole.concurrency
    assert max(e.concurrency for e in active) - min(e.concurrency for e in active) <= 1
    assert sum(each.per_host for each in active) == whole.per_host
    assert not whole.per_host or all(each.per_host for each in active)
    if not math.isinf(whole.rate):
        bucket = whole.bucket or max(1.0, whole.rate / 5)
        assert math.isclose(sum(each.rate for each in active), whole.rate)
        assert math.isclose(sum(each.bucket for each in active), bucket)
        assert all(each.bucket >= 1 for each in active)


@given(wholes, counts)
def test_who_has_no_slot_has_nothing(whole: Portion, count: int) -> None:
    idle = [each for each in portions("q", whole, count) if not each.concurrency]

    assert all(each == Portion() for each in idle)


def test_a_queue_with_one_slot_is_for_one_of_two() -> None:
    assert sorted(each.concurrency for each in portions("q", Portion(1, math.inf), 2)) == [0, 1]


def test_small_queues_do_not_all_begin_with_the_same_worker() -> None:
    names = (f"q{number}" for number in range(20))
    first = {portions(name, Portion(1, math.inf), 2)[0].concurrency for name in names}

    assert first == {0, 1}


def test_a_token_is_not_divided() -> None:
    found = portions("q", Portion(10, rate=1.0, bucket=2.5), 4)

    assert [each.bucket for each in found if each.concurrency] == [1.25, 1.25]


def test_a_slot_of_a_destination_is_not_divided() -> None:
    found = portions("q", Portion(10, math.inf, per_host=2), 4)
    active = [(each.concurrency, each.per_host) for each in found if each.concurrency]

    assert active == [(5, 1), (5, 1)]


@given(st.data(), counts)
def test_while_a_division_changes_no_more_is_used_than_before_or_after(
    data: st.DataObject, count: int
) -> None:
    wanted = parts(data.draw(st.integers(0, 1000)), count)
    order = data.draw(st.permutations(wanted))
    held = data.draw(st.permutations(parts(data.draw(st.integers(0, 1000)), count)))
    now = staged(order, held)
    used = sum(max(each) for each in zip(now, held, strict=True))

    assert all(each <= most for each, most in zip(now, order, strict=True))
    assert used <= max(sum(held), sum(order))
    assert staged(order, now) == order


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8))
def test_once_nothing_is_held_everybody_has_what_is_wanted(wanted: list[int]) -> None:
    assert staged(wanted, [0] * len(wanted)) == wanted
