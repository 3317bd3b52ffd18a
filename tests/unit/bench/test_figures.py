"""The figures: what fails is told as failed, and the table keeps what was not measured anew."""

import json
from pathlib import Path

import pytest

from bench.faults import Faults
from bench.figure import Figure, Line, NotMeasuredError, Scale, Tests, least, most, run_tests
from bench.figures import FIGURES, measure
from bench.figures_chaos import (
    EMBEDDED_FAULTS,
    EMBEDDED_RESTARTS,
    RABBITMQ_FAULTS,
    RABBITMQ_RESTARTS,
    broker_faults,
    kills,
    restarts,
)
from bench.figures_table import BEGIN, END, read_rows, write_table
from bench.limits import most_above, most_at_once
from bench.plans import long
from bench.received import Request

PAGE = f"before\n{BEGIN}\n{END}\nafter\n"
KEPT = Line("early", "0", "<= 0", passed=True)
MISSED = Line("late", "70 ms", "<= 50 ms", passed=False)


def request(arrived: float, answered: float) -> Request:
    return Request(arrived, answered, 200, "/slow-5/1", "t", 1, doubted=False, eta="")


def test_all_figures_are_there_and_none_twice() -> None:
    assert [figure.name for figure in FIGURES] == [f"A{number}" for number in range(1, 20)]


def test_a_limit_belongs_to_what_holds() -> None:
    assert most("x", 50, 50).passed
    assert not most("x", 50.1, 50).passed
    assert least("x", 95, 95, "%").limit == ">= 95 %"
    assert not least("x", 94.9, 95).passed


@pytest.mark.parametrize("tests", [Tests(0, 0, 0), Tests(3, 1, 0), Tests(3, 0, 1)])
def test_tests_that_failed_or_were_skipped_or_are_none_prove_nothing(tests: Tests) -> None:
    assert not tests.line("x").passed
    assert Tests(3, 0, 0).line("x").passed


def test_what_cannot_be_measured_has_failed() -> None:
    def absent(_scale: Scale) -> list[Line]:
        return [run_tests(["tests/nowhere.py"]).line("x")]

    def broken(_scale: Scale) -> list[Line]:
        raise ZeroDivisionError("a bug")

    for each in (absent, broken):
        (line,) = measure(Figure("A1", "", each), Scale()).lines
        assert not line.passed
        assert "not measured" in line.what
    with pytest.raises(NotMeasuredError):
        run_tests([])


def test_each_run_writes_its_own_column_and_the_figures_it_measured() -> None:
    page = write_table(PAGE, {"A6": [KEPT, MISSED], "A10": [KEPT]}, Scale())
    page = write_table(page, {"A6": [KEPT]}, Scale(long=True))
    assert read_rows(page) == [
        ("A6", "early", "<= 0", "0 PASS", "0 PASS"),
        ("A6", "late", "<= 50 ms", "70 ms FAIL", ""),
        ("A10", "early", "<= 0", "0 PASS", ""),
    ]
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")


def test_what_is_named_by_its_scale_keeps_a_row_of_its_own() -> None:
    few, many = (Line(f"{count} to do", "1", "<= 2", passed=True) for count in (10, 1000))
    page = write_table(PAGE, {"A8": [few]}, Scale())
    page = write_table(page, {"A8": [many]}, Scale(long=True))
    page = write_table(page, {"A8": [few]}, Scale())
    assert sorted(read_rows(page)) == [
        ("A8", "10 to do", "<= 2", "1 PASS", ""),
        ("A8", "1000 to do", "<= 2", "", "1 PASS"),
    ]


def test_a_page_without_a_place_is_left_alone() -> None:
    with pytest.raises(ValueError, match="figures"):
        write_table("no table", {}, Scale())


def test_requests_at_once_are_counted_as_the_server_had_them() -> None:
    assert most_at_once([request(1, 3), request(2, 4), request(3, 5)]) == 2
    assert most_at_once([request(1, 3), request(2, 4), request(2.9, 5)]) == 3


def test_a_burst_above_the_rate_is_found_wherever_it_is() -> None:
    steady = [number / 10 for number in range(100)]
    assert most_above(steady, 10, 1) == pytest.approx(0)
    burst = sorted([*steady, 5.01, 5.02, 5.03])
    assert 2 < most_above(burst, 10, 1) < 4
    assert most_above(steady, 10, 5) == pytest.approx(-4)


def test_the_figures_of_chaos_are_read_off_the_runs_that_they_are_about(tmp_path: Path) -> None:
    runs = long(None)
    names = {"embedded": EMBEDDED_FAULTS, "rabbitmq": RABBITMQ_FAULTS}
    assert {name: (runs[at].broker, runs[at].faults.kills) for name, at in names.items()} == {
        name: (name, 50) for name in names
    }
    names = {"embedded": EMBEDDED_RESTARTS, "rabbitmq": RABBITMQ_RESTARTS}
    assert {name: (runs[at].broker, runs[at].faults) for name, at in names.items()} == {
        name: (name, Faults(restarts=100)) for name in names
    }
    told = tmp_path / "chaos.json"
    findings = {"lost": 0, "early": 0, "duplicated": 3, "bound": 7}
    told.write_text(json.dumps({"runs": [{"findings": findings, "passed": True}] * 4}))
    scale = Scale(long=True, chaos=told)
    assert all(line.passed for line in [*kills(scale), *broker_faults(scale)])
    assert [line.what for line in restarts(scale) if not line.passed] == [
        "embedded: requests repeated",
        "rabbitmq: requests repeated",
    ]
