"""From runs to the table, to the ratios, and to the files."""

import json
from pathlib import Path

import pytest

from bench.race.bars import rates
from bench.race.finding import Findings, Goal, Row, Scale, rate_row
from bench.race.lap import Lap, summary
from bench.race.ours import ours
from bench.race.results import FIGURES, RATIOS, keep, latest
from bench.race.table import BEGIN, END, markdown, write_into
from bench.race.throughput import GOALS, Heat, classic, quorum, tell, turns


def laps(*rates: float, cpu_us: float = 50.0) -> list[Lap]:
    return [Lap(rate, cpu_us, 80_000_000, 60_000_000, 0.1) for rate in rates]


def row_of(found: Findings, who: str) -> Row:
    [row] = [row for row in found.rows if row.who == who]
    return row


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (Goal(10, 5), 10, "holds"),
        (Goal(10, 5), 9.9, "must"),
        (Goal(10, 5), 4.9, "SHORT"),
        (Goal(1.2), 1.19, "SHORT"),
        (Goal(5, least=False), 5, "holds"),
        (Goal(5, least=False), 5.1, "SHORT"),
    ],
)
def test_a_goal_is_reached_or_only_what_must_be_or_neither(
    goal: Goal, value: float, verdict: str
) -> None:
    assert goal.verdict(value) == verdict


def test_ratios_are_of_classic_queues_but_that_of_go() -> None:
    found = Findings()
    rivals = {"celery": laps(100), "dramatiq": laps(200), "taskiq": laps(300)}
    tell(Heat("quorum", {"ours": laps(2000), "go": laps(1000), "celery": laps(1)}), [], found)
    tell(Heat("classic", {"ours": laps(900), "go": laps(1), **rivals}), [], found)

    assert found.ratios == {"go": 2, "celery": 9, "dramatiq": 4.5, "taskiq": 3}


def test_a_line_has_the_medians_and_how_many_times_it_ours_is() -> None:
    theirs = summary(laps(90, 100, 140, cpu_us=800))

    row = rate_row("throughput", "celery, classic", theirs, summary(laps(700)), Goal(10, 5))

    assert row.figure == "100/s"
    assert row.spread == "90 to 140"
    assert row.cpu == "0.800"
    assert row.memory == "80 (60)"
    assert (row.beside, row.goal, row.verdict) == ("7.00x", ">= 10 (must 5)", "must")


def test_our_cpu_time_is_compared_with_that_of_celery_on_quorum_queues() -> None:
    found = Findings()
    mine, celery = laps(1000, cpu_us=50), laps(100, cpu_us=1000)

    tell(Heat("quorum", {"ours": mine, "celery": celery}), ["ours", "celery"], found)

    assert row_of(found, "ours: CPU for a task").beside == "0.050x"
    assert found.figures == {"cpu_us_per_task": 50, "rss_mb": 80}


def test_who_is_absent_has_a_line_that_says_why() -> None:
    found = Findings()

    tell(Heat("classic", {"ours": laps(900)}, {"celery": "no venv"}), ["ours", "celery"], found)

    assert row_of(found, "celery, classic").figure == "not available: no venv"
    assert found.troubles == ["throughput, celery, classic: no venv"]
    assert found.ratios == {}


def test_every_rival_takes_part_on_both_kinds_of_queues_also_in_a_quick_run() -> None:
    for scale in (Scale(5), Scale(3, 0.2, quick=True)):
        for entries in (classic(scale), quorum(scale)):
            names = {contender.name for contender, runs in entries if runs}
            assert {"ours", "go", *GOALS} <= names


def test_contenders_take_turns_and_each_round_begins_with_another_one() -> None:
    often, also, once = ours("often"), ours("also"), ours("once")

    names = [each.name for each in turns([(often, 3), (once, 1), (also, 3)])]

    assert names == ["often", "once", "also", "also", "often", "also", "often"]


def test_the_short_form_names_every_ratio_and_figure_also_what_was_not_measured() -> None:
    found = Findings(ratios={"go": 1.23456}, figures={"rss_mb": 80.0, "receiver_per_s": 1.0})

    short = latest(found, "a machine", "2026-01-01T00:00:00+00:00")

    assert list(short) == ["ratios", "figures", "machine", "at"]
    assert short["ratios"] == {**dict.fromkeys(RATIOS), "go": 1.235}
    assert short["figures"] == {**dict.fromkeys(FIGURES), "rss_mb": 80}


def test_a_run_is_kept_whole_and_in_short(tmp_path: Path) -> None:
    found = Findings(rows=[Row("tls", "ours", "1/s")], runs={"ours, quorum": laps(1, 2)})

    whole = json.loads(keep(found, 1.0, complete=True, place=tmp_path).read_text())
    short = json.loads((tmp_path / "latest.json").read_text())

    assert [lap["per_second"] for lap in whole["runs"]["ours, quorum"]] == [1, 2]
    assert whole["rows"][0]["who"] == "ours"
    assert short == {name: whole[name] for name in ("ratios", "figures", "machine", "at")}


def test_a_run_of_some_scenarios_leaves_the_short_form_of_the_last_complete_one(
    tmp_path: Path,
) -> None:
    keep(Findings(ratios={"go": 2.0}), 1.0, complete=True, place=tmp_path)
    before = (tmp_path / "latest.json").read_text()

    keep(Findings(), 1.0, complete=False, place=tmp_path)

    assert (tmp_path / "latest.json").read_text() == before


def test_the_table_takes_the_place_of_the_old_one_in_the_page() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    rows = [Row("tls", "a|b", "1/s")]

    written = write_into(page, rows, "a machine")

    assert written == f"before\n{BEGIN}\na machine\n\n{markdown(rows)}\n{END}\nafter\n"
    assert "| tls | a/b | 1/s |" in written
    assert write_into(written, rows, "a machine") == written


def test_a_page_without_a_place_is_left_alone() -> None:
    with pytest.raises(ValueError, match="the page has no"):
        write_into("nothing", [], "")


def test_the_chart_has_the_medians_of_both_kinds_of_queues_the_fastest_last() -> None:
    runs = {
        "go, both cores, quorum": [{"per_second": 30}],
        "ours, quorum": [{"per_second": 40}, {"per_second": 90}, {"per_second": 60}],
        "ours, classic": [{"per_second": 20}],
        "tls, ours: https": [{"per_second": 99}],
    }

    found = rates(runs)

    assert found == {"go, both cores": {"quorum": 30}, "ours": {"quorum": 60, "classic": 20}}
    assert list(found) == ["go, both cores", "ours"]
