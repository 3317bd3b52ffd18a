"""Those who were sent away come back in a line."""

from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.policy.line_up import MOST_SECONDS, STEP, LineUp
from webhook_runner.policy.mixture import LATELY, Mixture, share_of

A, B, C = ("a", 80), ("b", 80), ("a", 81)


def test_the_first_come_back_when_asked_and_the_rest_at_their_pace() -> None:
    line = LineUp()
    times = [line.place(100.0, 500) for _ in range(1000)]

    assert times[:50] == [100.0] * 50
    assert times == sorted(times)
    assert 101.8 <= times[-1] <= 102


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 30)), min_size=1, max_size=300),
    st.sampled_from([10.0, 20.0, 500.0]),
)
def test_no_more_come_back_in_a_second_than_the_pace_and_one_step(
    steps: list[tuple[float, float]], pace: float
) -> None:
    line, now, times = LineUp(), 0.0, list[float]()
    for wait, least in steps:
        now += wait
        back = line.place(now + least, pace)
        assert back >= now + least
        times.append(back)
    times.sort()
    for first in times:
        crowd = sum(first <= each < first + 1 for each in times)
        assert crowd <= pace * (1 + 2 * STEP) + 2


def test_a_line_knows_how_many_it_has_and_when_all_are_back() -> None:
    line = LineUp()
    assert line.is_over(0)
    for _ in range(100):
        line.place(50, 10)
    assert line.waiting(0) == 100
    assert 40 <= line.waiting(56) <= 60
    assert not line.is_over(59)
    assert line.is_over(60)
    assert line.waiting(62) == 0


def test_what_a_line_remembers_is_bounded() -> None:
    line = LineUp()
    for second in range(3 * MOST_SECONDS):
        line.place(second, 1000)
    assert len(line._waiting) <= MOST_SECONDS


def test_a_queue_is_mixed_while_it_had_another_destination_lately() -> None:
    mixture = Mixture()
    assert not mixture.is_mixed(0)
    for now in range(5):
        mixture.note(A, now)
        assert not mixture.is_mixed(now)
    mixture.note(B, 5)
    assert mixture.is_mixed(5)
    mixture.note(B, 4 + LATELY)
    assert mixture.is_mixed(4 + LATELY)
    mixture.note(B, 5 + LATELY)
    assert not mixture.is_mixed(5 + LATELY)
    mixture.note(C, 6 + LATELY)
    assert mixture.is_mixed(6 + LATELY)


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.floats(0, 700)), max_size=50))
def test_mixed_is_what_two_destinations_within_the_time_are(
    tasks: list[tuple[tuple[str, int], float]],
) -> None:
    mixture, now, seen = Mixture(), 0.0, list[tuple[tuple[str, int], float]]()
    for host, wait in tasks:
        now += wait
        told = mixture.note(host, now)
        seen.append((host, now))
        lately = {each for each, at in seen if now - at <= LATELY}
        assert told is mixture.is_mixed(now) is (len(lately) > 1)


def test_a_share_is_the_operators_number_or_half_where_there_are_others() -> None:
    assert share_of(10, 3, mixed=False) == 3
    assert share_of(10, 3, mixed=True) == 3
    assert share_of(10, 0, mixed=True) == 5
    assert share_of(1, 0, mixed=True) == 1
    assert share_of(10, 0, mixed=False) == 10
