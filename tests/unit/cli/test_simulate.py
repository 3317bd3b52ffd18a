"""`simulate`: the numbers of the contract, by the daemon's own decisions."""

import json

import pytest

from tests.unit.cli.conftest import Run


def steps(run: Run, *arguments: str, config_text: str = "") -> list[dict[str, object]]:
    result = run("simulate", "--output", "json", *arguments, config_text=config_text)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    line: list[dict[str, object]] = found.get("exact") or found["earliest"]
    return line


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ((10, 200, 3), [10, 20, 40, 80, 160, 200, 200]),
        ((10, 300, 3), [10, 20, 40, 80, 160, 240, 300]),
        ((10, 200, 0), [10 * n for n in range(1, 21)]),
    ],
)
def test_waits_are_those_of_the_backoff(
    policy: tuple[int, int, int], waits: list[int], run: Run
) -> None:
    text = (
        "[queues.a]\nmin_backoff_seconds = {}\nmax_backoff_seconds = {}\nmax_doublings = {}"
    ).format(*policy)
    found = steps(run, "--queue", "a", "--limit", str(len(waits)), config_text=text)
    assert [step["wait_seconds"] for step in found] == waits


def test_retries_end_with_the_roll_back(run: Run) -> None:
    found = steps(run, "--max-retries", "2")
    assert [step["attempt"] for step in found] == [1, 2, 3]
    assert found[-1]["verdict"] == "failed (retries_exhausted), then roll_back"
    assert found[-1]["wait_seconds"] is None


def test_no_retries_means_one_attempt(run: Run) -> None:
    assert len(steps(run, "--max-retries", "0")) == 1


def test_a_list_of_outcomes_is_played_in_order(run: Run) -> None:
    found = steps(run, "--outcome", "503,timeout,connect,200")
    assert [step["outcome"] for step in found] == ["503", "timeout", "connect", "200"]
    assert found[-1]["verdict"] == "succeeded"
    assert found[2]["after_seconds"] == 1 + 60 + 2


def test_expiry_ends_the_wait_early(run: Run) -> None:
    found = steps(run, "--expires-in", "10", "--jitter", "0")
    assert [step["after_seconds"] for step in found] == [0, 1, 3, 7]
    assert str(found[-1]["verdict"]).startswith("expired")


def test_retry_after_lengthens_the_wait_and_is_exact(run: Run) -> None:
    found = steps(run, "--outcome", "429", "--retry-after", "60", "--limit", "2", "--jitter", "1")
    assert [step["wait_seconds"] for step in found] == [60, 60]


def test_jitter_is_a_range_an_end_of_it_or_dice(run: Run) -> None:
    both = json.loads(run("simulate", "-o", "json", "--limit", "1").stdout)
    assert both["earliest"][0]["wait_seconds"] == 1
    assert both["latest"][0]["wait_seconds"] == 1.1
    one, again, other = (steps(run, "--jitter", seed, "--limit", "3") for seed in ("7", "7", "8"))
    waits = [[step["wait_seconds"] for step in line] for line in (one, again, other)]
    assert waits[0] == waits[1] != waits[2]


def test_the_table_tells_ranges_and_the_end(run: Run) -> None:
    lines = run("simulate", "--max-retries", "1").stdout.splitlines()
    assert lines[0].split() == ["attempt", "after", "at", "(UTC)", "outcome", "verdict", "wait"]
    assert lines[1].endswith("503      retry                                       1s to 1.1s")
    assert "1s to 1.1s" in lines[2]
    endless = run("simulate", "--limit", "3").stdout.splitlines()
    assert len(endless) == 5
    assert endless[-1] == "... and so on; --limit shows more"


def test_nonsense_is_refused(run: Run) -> None:
    assert run("simulate", "--outcome", "whatever").exit_code == 2
    assert run("simulate", "--outcome", "999").exit_code == 2
    assert run("simulate", "--limit", "0").exit_code == 2
    missing = run("simulate", "--queue", "x")
    assert missing.exit_code == 3
    assert "hint: there are default" in missing.stderr
