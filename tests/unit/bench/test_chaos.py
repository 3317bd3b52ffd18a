"""The chaos runs: their faults, their logs, their last line, and what they cannot be asked for."""

import json
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from bench.chaos import main
from bench.faults import REACH, Event, Faults, Kind
from bench.findings import Findings
from bench.ledger import Entry, Ledger
from bench.plans import EACH_ONCE, PLANS
from bench.report import as_json, closing_line
from bench.run import Result, Run
from bench.script import HOSTILE, KINDS, SPARE, SPARE_QUEUE, STORMY, Recipe


def result(findings: Findings) -> Result:
    return Result(Run(), findings, [Event("kill", 1.0, 2.0, "0")], 3.0)


def test_the_seed_decides_the_order_of_the_faults_and_nothing_is_left_out() -> None:
    faults = Faults(kills=5, cuts=7, alarms=2)

    assert faults.in_order(1) == faults.in_order(1)
    assert faults.in_order(1) != faults.in_order(2)
    counts = Counter(faults.in_order(3))
    assert counts["kill"] == 5
    assert counts["cut"] == 2  # one more round of the kinds has begun
    assert counts["memory-alarm"] == counts["disk-alarm"] == 1


def test_each_fault_that_there_is_occurs_in_the_short_plan() -> None:
    assert set(EACH_ONCE.in_order(1)) == set(get_args(Kind)) == set(REACH)
    assert EACH_ONCE in {run.faults for run in PLANS["short"](None)}


def test_the_seed_can_be_chosen_for_a_plan() -> None:
    assert {run.seed for run in PLANS["short"](7)} == {7}


def test_a_recipe_has_all_kinds_of_tasks_and_all_bad_endpoints() -> None:
    tasks = [Recipe(1).task(number) for number in range(2000)]

    assert {task.kind for task in tasks} == {kind for kind, _ in KINDS}
    assert {task.endpoint for task in tasks} == {"", *HOSTILE, *STORMY}
    bad = [task for task in tasks if task.endpoint]
    assert all("roll_back" in task.fields and task.lifetime for task in bad)
    friendly = [Recipe(1, hostile=False).task(number) for number in range(2000)]
    assert not [task for task in friendly if task.endpoint]


def test_a_message_names_its_endpoint_and_its_queue() -> None:
    bad = next(task for n in range(500) if (task := Recipe(1).task(n)).endpoint == "silent")
    message = bad.message(1000.0, {"silent": "http://127.0.0.1:9"})
    assert message["url"] == f"http://127.0.0.1:9{bad.path}"
    assert bad.lifetime is not None
    assert message["expires"] == 1000.0 + bad.lifetime

    other = next(task for n in range(500) if (task := Recipe(1).task(n)).queue == "other")
    assert "queue" not in other.message(0.0, {})
    assert other.by_one_door().message(0.0, {})["queue"] == "other"
    assert Recipe(1).task(SPARE).queue == SPARE_QUEUE


def test_a_ledger_tells_what_was_written_even_if_it_was_not_closed(tmp_path: Path) -> None:
    entries = [Entry(1, 1000.5, accepted=True, id="a"), Entry(2, 1000.75)]
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.write(entries[:1])
        ledger.write(entries[1:])

        assert ledger.read() == entries


def test_the_last_line_sums_up_and_passes_only_when_all_pass() -> None:
    good = result(Findings(duplicated=2, bound=5))
    bad = result(Findings(lost=1, early=3))

    assert closing_line([good]) == "lost 0 duplicated 2 early 0 PASS"
    assert closing_line([good, bad]) == "lost 1 duplicated 2 early 3 FAIL"
    assert closing_line([]).endswith("FAIL")


def test_the_json_has_the_seed_and_what_was_done_when() -> None:
    told = json.loads(json.dumps(as_json([result(Findings())])))

    [run] = told["runs"]
    assert run["run"]["seed"] == 1
    assert run["events"] == [{"kind": "kill", "began": 1.0, "ended": 2.0, "daemon": "0"}]
    assert run["passed"]


@pytest.mark.parametrize("asked", [["--daemons", "2"], ["--cuts", "1"], ["--pauses", "1"]])
def test_an_embedded_broker_cannot_be_shared_or_cut_off(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--broker", "embedded", *asked])

    assert ended.value.code == 2
    assert "embedded" in capsys.readouterr().err
