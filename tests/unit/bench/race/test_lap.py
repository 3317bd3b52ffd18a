"""What is made of the times of a run, and of some runs."""

import pytest

from bench.race.lap import Lap, Reading, Summary, judge, ratio, summary


def lap(per_second: float, cpu_us: float = 10.0, resident: int = 0) -> Lap:
    return Lap(per_second, cpu_us, resident, resident // 2, 0.1)


def test_the_rate_is_that_of_the_steady_window() -> None:
    slow_start = [float(n) for n in range(15)]
    steady = [15.0 + n / 10 for n in range(80)]
    slow_end = [100.0 + n for n in range(5)]

    found = judge([*slow_start, *steady, *slow_end], Reading(0, 15, 0), Reading(8, 95, 0), 100)

    assert found.per_second == pytest.approx(10)


def test_the_cpu_time_of_a_task_is_that_between_the_readings() -> None:
    begin, end = Reading(10.0, 20, 1.5, 3.0), Reading(12.0, 70, 2.0, 3.5)

    found = judge([n / 50 for n in range(100)], begin, end, 100, 7, 5)

    assert found.cpu_us == pytest.approx(10_000)
    assert found.receiver == pytest.approx(0.25)
    assert (found.resident, found.proportional) == (7, 5)


def test_of_runs_the_median_counts_and_of_memory_the_most() -> None:
    found = summary([lap(100, 30, 4), lap(900, 10, 8), lap(200, 20, 6)])

    assert found == Summary(200, 100, 900, 20, 8, 4, 0.1, 3)


def test_a_ratio_is_ours_by_theirs_and_none_without_one_of_them() -> None:
    ours, theirs = summary([lap(300)]), summary([lap(100)])

    assert ratio(ours, theirs) == 3
    assert ratio(ours, None) is None
    assert ratio(None, theirs) is None
