"""The checker of the chaos runs: it must find what it is there to find."""

from collections import Counter
from dataclasses import replace

import pytest

from bench.check import Findings, check
from bench.feeding import Entry
from bench.nemesis import Kill
from bench.received import Request, read_line
from bench.remains import Remains
from bench.script import Scripted, script

SENT = 1_700_000_000.0
PLAIN = Scripted(0, "plain", "default", moved=False, named=True, path="/ok/0")
DOOMED = Scripted(
    1, "doomed", "default", False, True, "/never/1", attempts=2, fields={"roll_back": "/undo/1"}
)
ANSWERED = Request(SENT + 1, SENT + 1.1, 200, "/ok/0", "task-0", 1, doubted=False, eta="")
FAILED = replace(ANSWERED, status=500, path="/never/1", id="task-1")
AGAIN = replace(FAILED, arrived=SENT + 2, answered=SENT + 2.1, attempt=2)
UNDONE = replace(ANSWERED, arrived=SENT + 3, answered=SENT + 3.1, path="/undo/1", id="task-1~rb")
KILL = Kill(SENT + 1.05, SENT + 1.06)


def entry(task: Scripted, *, accepted: bool = True) -> Entry:
    return Entry(task, SENT, accepted=accepted, id=task.id if accepted else "")


def left(*names: str) -> Remains:
    return Remains(Counter(names), {name: int(name.split("-")[1]) for name in names})


def found(task: Scripted, *requests: Request, dead: Remains | None = None) -> Findings:
    return check([entry(task)], requests, dead or Remains(), [KILL], 10)


def test_a_success_and_a_failure_with_its_roll_back_pass() -> None:
    assert found(PLAIN, ANSWERED).passed
    assert found(DOOMED, FAILED, AGAIN, UNDONE, dead=left("task-1")).passed


@pytest.mark.parametrize(
    ("task", "requests", "dead"),
    [
        (PLAIN, (), ()),
        (PLAIN, (replace(ANSWERED, answered=0.0, status=0),), ()),
        (DOOMED, (FAILED, AGAIN, UNDONE), ()),
        (DOOMED, (FAILED, AGAIN), ("task-1",)),
    ],
    ids=["never seen", "never answered", "no dead letter", "no roll-back"],
)
def test_a_task_without_an_end_is_lost(
    task: Scripted, requests: tuple[Request, ...], dead: tuple[str, ...]
) -> None:
    findings = found(task, *requests, dead=left(*dead))

    assert findings.lost == 1
    assert not findings.passed


def test_a_request_before_its_time_is_early() -> None:
    assert found(replace(PLAIN, delay=1.5), ANSWERED).early == 1
    assert found(PLAIN, replace(ANSWERED, eta="2023-11-14T22:13:22.000Z")).early == 1
    hasty = replace(AGAIN, arrived=FAILED.answered + 0.1)
    assert found(DOOMED, FAILED, hasty, UNDONE, dead=left("task-1")).early == 1


def test_a_success_that_is_also_buried_has_a_wrong_end() -> None:
    assert found(PLAIN, ANSWERED, dead=left("task-0")).wrong_ends == 1


def test_a_skipped_or_further_attempt_is_wrong() -> None:
    assert found(PLAIN, replace(ANSWERED, attempt=2)).wrong_attempts == 1
    assert found(DOOMED, FAILED, UNDONE, dead=left("task-1")).wrong_attempts == 1


def test_another_id_than_was_promised_is_wrong() -> None:
    assert found(PLAIN, replace(ANSWERED, id="other")).wrong_ids == 1


def test_a_start_long_after_the_expiry_is_late() -> None:
    racing = replace(PLAIN, kind="racing", lifetime=0.5)

    assert not found(racing, replace(ANSWERED, arrived=SENT + 0.9)).late_starts
    assert found(racing, replace(ANSWERED, arrived=SENT + 1.6)).late_starts == 1


def test_what_comes_twice_is_counted_against_what_was_in_flight() -> None:
    findings = found(PLAIN, ANSWERED, replace(ANSWERED, arrived=SENT + 5))
    assert (findings.duplicated, findings.bound, findings.tight_bound) == (1, 10, 1)
    assert findings.passed
    assert not check([entry(PLAIN)], [ANSWERED] * 3, Remains(), [KILL], 1).passed


def test_what_is_left_in_the_broker_fails() -> None:
    assert not found(PLAIN, ANSWERED, dead=Remains(others={"ready": 1})).passed
    assert not found(PLAIN, ANSWERED, dead=Remains(invalid=1)).passed


def test_an_unanswered_task_may_be_gone_but_not_half_done() -> None:
    unknown = [entry(DOOMED, accepted=False)]

    assert check(unknown, [], Remains(), [KILL], 10).passed
    assert check(unknown, [FAILED], Remains(), [KILL], 10).lost == 1


def test_the_same_seed_scripts_the_same_tasks() -> None:
    assert [script(number, 1) for number in range(50)] == [
        script(number, 1) for number in range(50)
    ]
    assert script(3, 1) != script(3, 2)


def test_a_line_of_the_receiver_is_read_back() -> None:
    line = "1700000001.000000\t1700000001.100000\t200\t/ok/0\ttask-0\t1\t0\t\n"

    assert read_line(line) == ANSWERED
    assert ANSWERED.number == 0
