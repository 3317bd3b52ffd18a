"""The checker of the chaos runs: it must find what it is there to find."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.check import Checker, Limits
from bench.crowding import CUT_GRACE, peaks
from bench.faults import Event
from bench.findings import Findings
from bench.ledger import Entry
from bench.received import Request, read_line
from bench.remains import Remains
from bench.script import Recipe, Scripted

SENT = 1_700_000_000.0
PLAIN = Scripted(0, "plain", "default", moved=False, named=True, path="/ok/0")
DOOMED = Scripted(
    1, "doomed", "default", False, True, "/never/1", attempts=2, fields={"roll_back": "/undo/1"}
)
HOSTILE = replace(DOOMED, kind="hostile", lifetime=60.0)
STORMY = replace(DOOMED, kind="stormy", attempts=0, lifetime=60.0)
ANSWERED = Request(SENT + 1, SENT + 1.1, 200, "/ok/0", "task-0", 1, doubted=False, eta="")
FAILED = replace(ANSWERED, status=500, path="/never/1", id="task-1")
AGAIN = replace(FAILED, arrived=SENT + 2, ended=SENT + 2.1, attempt=2)
UNDONE = replace(ANSWERED, arrived=SENT + 3, ended=SENT + 3.1, path="/undo/1", id="task-1~rb")
KILL = Event("kill", SENT + 1.05, SENT + 1.06)


def entry(task: Scripted, *, accepted: bool = True) -> Entry:
    return Entry(task.number, SENT, accepted=accepted, id=task.id if accepted else "")


def left(*names: str) -> Remains:
    return Remains(Counter(names), {name: int(name.split("-")[1]) for name in names})


def found(
    task: Scripted,
    *requests: Request,
    dead: Remains | None = None,
    events: Sequence[Event] = (KILL,),
    limits: Limits = Limits(running=10, queues=1),  # noqa: B008 - frozen
    accepted: bool = True,
) -> Findings:
    checker = Checker(lambda _: task, events, limits)
    return checker.check([entry(task, accepted=accepted)], requests, dead or Remains())


def test_a_success_and_a_failure_with_its_roll_back_pass() -> None:
    assert found(PLAIN, ANSWERED).passed
    assert found(DOOMED, FAILED, AGAIN, UNDONE, dead=left("task-1")).passed


@pytest.mark.parametrize(
    ("task", "requests", "dead"),
    [
        (PLAIN, (), ()),
        (PLAIN, (replace(ANSWERED, status=0),), ()),
        (DOOMED, (FAILED, AGAIN, UNDONE), ()),
        (DOOMED, (FAILED, AGAIN), ("task-1",)),
        (HOSTILE, (UNDONE,), ()),
        (STORMY, (FAILED, AGAIN), ()),
    ],
    ids=[
        "never seen",
        "never answered",
        "no dead letter",
        "no roll-back",
        "hostile, no dead letter",
        "neither success nor expiry",
    ],
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
    hasty = replace(AGAIN, arrived=FAILED.ended + 0.1)
    findings = found(DOOMED, FAILED, hasty, UNDONE, dead=left("task-1"))
    assert findings.early == 1
    assert not findings.passed


def test_lateness_is_that_of_tasks_for_the_good_endpoint() -> None:
    late = found(PLAIN, ANSWERED)
    assert late.late_ms == pytest.approx((1000.0, 1000.0, 1000.0))
    assert sum(late.lateness) == 1
    held = replace(STORMY, endpoint="busy")
    assert not found(held, replace(AGAIN, attempt=1, status=200)).lateness


def test_a_request_before_the_retry_after_is_over_is_early() -> None:
    busy = replace(FAILED, status=429)
    good = replace(AGAIN, status=200)

    assert found(STORMY, busy, replace(good, arrived=busy.ended + 0.9)).early == 1
    assert found(STORMY, busy, replace(good, arrived=busy.ended + 1.1)).passed


def test_a_success_that_is_also_buried_has_a_wrong_end() -> None:
    assert found(PLAIN, ANSWERED, dead=left("task-0")).wrong_ends == 1


def test_a_skipped_or_further_attempt_is_wrong() -> None:
    assert found(PLAIN, replace(ANSWERED, attempt=2)).wrong_attempts == 1
    assert found(DOOMED, FAILED, UNDONE, dead=left("task-1")).wrong_attempts == 1
    third = replace(AGAIN, attempt=3)
    assert found(HOSTILE, third, UNDONE, dead=left("task-1")).wrong_attempts == 1
    assert not found(HOSTILE, UNDONE, dead=left("task-1")).wrong_attempts
    assert found(STORMY, replace(AGAIN, status=200)).wrong_attempts == 1


def test_another_id_than_was_promised_is_wrong() -> None:
    assert found(PLAIN, replace(ANSWERED, id="other")).wrong_ids == 1


def test_a_start_long_after_the_expiry_is_late_but_for_a_daemon_that_was_stopped() -> None:
    racing = replace(PLAIN, kind="racing", lifetime=0.5)
    late = replace(ANSWERED, arrived=SENT + 1.6, ended=SENT + 1.7, sender="0")
    freeze = Event("freeze", SENT + 0.4, SENT + 1.5, "0")

    assert not found(racing, replace(ANSWERED, arrived=SENT + 0.9)).late_starts
    assert found(racing, late).late_starts == 1
    assert not found(racing, late, events=[freeze]).late_starts
    assert found(racing, replace(late, sender="1"), events=[freeze]).late_starts == 1


def test_what_comes_twice_is_counted_against_what_was_in_flight() -> None:
    kill = replace(KILL, daemon="0")
    once = replace(ANSWERED, sender="0")
    twice = [once, replace(once, arrived=SENT + 5, ended=SENT + 5.1)]

    findings = found(PLAIN, *twice, events=[kill])
    assert (findings.duplicated, findings.bound, findings.at_risk) == (1, 10, 1)
    assert findings.unmarked == 1
    assert findings.passed
    assert found(PLAIN, *twice, events=[replace(kill, daemon="1")]).at_risk == 0
    few = Limits(running=1, queues=1)
    assert not found(PLAIN, *twice, twice[1], events=[kill], limits=few).passed


def test_a_repetition_without_a_fault_before_it_is_unexplained() -> None:
    twice = [ANSWERED, replace(ANSWERED, arrived=SENT + 5, ended=SENT + 5.1)]
    far = (Event("kill", SENT - 60, SENT - 59), Event("kill", SENT + 60, SENT + 61))

    findings = found(PLAIN, *twice, events=far)

    assert findings.unexplained == 1
    assert not findings.passed


@pytest.mark.parametrize("kind", ["restart", "memory-alarm", "latency", "deletion"])
def test_these_faults_repeat_nothing(kind: str) -> None:
    event = Event(kind, SENT + 1.05, SENT + 1.5, "0")  # type: ignore[arg-type]
    again = replace(ANSWERED, arrived=SENT + 2, ended=SENT + 2.1)

    findings = found(PLAIN, ANSWERED, again, events=[event])
    assert (findings.bound, findings.unexplained) == (0, 1)
    assert not findings.passed
    undone = [UNDONE, replace(UNDONE, arrived=SENT + 4, ended=SENT + 4.1)]
    findings = found(DOOMED, FAILED, AGAIN, *undone, dead=left("task-1"), events=[event])
    assert (findings.undone_twice, findings.unexplained) == (1, 1)
    findings = found(DOOMED, FAILED, AGAIN, UNDONE, dead=left("task-1", "task-1"), events=[event])
    assert (findings.buried_twice, findings.unexplained) == (1, 1)


def test_more_requests_at_once_than_allowed_are_over_the_limit() -> None:
    two = [replace(ANSWERED, queue="default", sender=sender) for sender in ("0", "1")]
    one_each = Limits(daemons=2, running=1, queues=1)

    findings = found(PLAIN, *two, limits=one_each)
    assert findings.peaks == {"default": 2, "default/0": 1, "default/1": 1}
    assert not findings.over_limit
    assert found(PLAIN, *two, limits=replace(one_each, daemons=1)).over_limit == 1
    same = [replace(each, sender="0") for each in two]
    findings = found(PLAIN, *same, limits=one_each)
    assert findings.over_limit == 1
    assert not findings.passed


def test_a_request_that_follows_a_broken_one_is_not_beside_it() -> None:
    broken = replace(ANSWERED, status=0)
    after = replace(ANSWERED, arrived=broken.ended - CUT_GRACE / 2, ended=broken.ended + 1)

    assert peaks([broken, after])[""] == 1
    assert peaks([replace(broken, status=200), after])[""] == 2


def test_what_is_left_in_the_broker_and_what_went_wrong_besides_fail() -> None:
    assert not found(PLAIN, ANSWERED, dead=Remains(others={"ready": 1})).passed
    assert not found(PLAIN, ANSWERED, dead=Remains(invalid=1)).passed
    findings = found(PLAIN, ANSWERED)
    findings.troubles.append("daemon 0 ended with 1")
    assert not findings.passed


def test_an_unanswered_task_may_be_gone_but_not_half_done() -> None:
    assert found(DOOMED, accepted=False).passed
    assert found(DOOMED, FAILED, accepted=False).lost == 1


def test_the_same_seed_scripts_the_same_tasks() -> None:
    recipe = Recipe(1)
    assert [recipe.task(n) for n in range(50)] == [Recipe(1).task(n) for n in range(50)]
    assert recipe.task(3) != Recipe(2).task(3)


def test_a_line_of_the_receiver_is_read_back() -> None:
    line = "1700000001.000000\t1700000001.100000\t200\t/ok/0\ttask-0\t1\t0\t\tdefault\t2\n"

    assert read_line(line) == replace(ANSWERED, queue="default", sender="2")
    assert ANSWERED.number == 0
