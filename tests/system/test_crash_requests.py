"""Kill -9 of the daemon from a task's request on, and what its receivers see of it."""

import pytest

from tests.parts.receiver import Answer
from tests.parts.scene import attempts, by_id, doubted, eventually
from tests.system.crash_case import (
    ALWAYS_500,
    Case,
    assert_one_task,
    case,
    crash_at,
    crash_stage,
    crash_vhost,
    every_case,
    go_on,
    make_case,
)

__all__ = ["case", "crash_stage", "crash_vhost", "every_case", "make_case"]

pytestmark = pytest.mark.system


def test_k11_killed_during_the_request_it_comes_again_and_says_so(every_case: Case) -> None:
    receiver = every_case.receiver
    receiver.script(every_case.path, [Answer(hang=True), Answer()])
    daemon = every_case.daemon()
    every_case.publish()
    (first,) = receiver.wait_for(1, every_case.path)
    assert not doubted(first)
    eventually(lambda: every_case.stage.under_way() == {every_case.queue: (0, 1)})
    daemon.kill()
    go_on(every_case, daemon)
    assert attempts(every_case.requests()) == [1, 1]
    assert_one_task(every_case, every_case.requests())


def test_k12_killed_with_the_answer_in_hand_it_comes_again_and_says_so(case: Case) -> None:
    crash_at(case, case.nth("dispatch.after"))
    assert attempts(case.requests()) == [1, 1]
    assert_one_task(case, case.requests())


def test_k13_killed_before_the_ack_of_a_success_it_comes_again(every_case: Case) -> None:
    # Nothing but the ack tells the broker of a success: without a store one more is allowed.
    crash_at(every_case, every_case.nth("ack.before"))
    assert attempts(every_case.requests()) == ([1] if every_case.embedded else [1, 1])
    assert_one_task(every_case, every_case.requests())


def test_k15_killed_before_the_ack_of_a_first_retry_one_request_is_repeated(case: Case) -> None:
    case.receiver.script(case.path, ALWAYS_500)
    crash_at(case, case.nth("park.after"), max_retries=2, roll_back=case.undo)
    # On RabbitMQ both the copy and its original are there, and come in any order; the embedded
    # broker's copy takes the place of its original.
    allowed = [[1, 2, 3]] if case.embedded else [[1, 2, 3], [1, 1, 2, 3]]
    assert sorted(attempts(case.requests())) in allowed
    assert len(by_id(case.requests())) == 1
    assert len(case.undone()) == 1


def test_k15_killed_before_the_ack_of_a_later_retry_one_request_is_repeated(
    every_case: Case,
) -> None:
    every_case.receiver.script(every_case.path, ALWAYS_500)
    crash_at(every_case, every_case.nth("park.after", 2), max_retries=2, roll_back=every_case.undo)
    expected = [1, 2, 3] if every_case.embedded else [1, 2, 2, 3]
    assert sorted(attempts(every_case.requests())) == expected
    assert_one_task(every_case, every_case.requests())
    assert len(every_case.undone()) == 1
    assert len(every_case.dead()) == 1


def test_k16_killed_between_roll_back_and_dead_letter(case: Case) -> None:
    case.receiver.script(case.path, ALWAYS_500)
    crash_at(case, case.nth("enqueue.after"), max_retries=0, roll_back=case.undo)
    assert_failed_at_most_twice(case)


def test_k16_killed_between_dead_letter_and_ack(case: Case) -> None:
    case.receiver.script(case.path, ALWAYS_500)
    crash_at(case, case.nth("bury.after"), max_retries=0, roll_back=case.undo)
    assert_failed_at_most_twice(case)


def assert_failed_at_most_twice(case: Case) -> None:
    assert attempts(case.requests()) == [1, 1]
    assert_one_task(case, case.requests())
    # The first roll-back may be running itself when the daemon dies, and then it comes again too.
    assert 1 <= len(case.undone()) <= 3
    (name,) = by_id(case.undone())
    assert name == f"{case.requests()[0].header('Idempotency-Key')}~rb"
    assert 1 <= len(case.dead()) <= 2


def test_k17_killed_during_the_roll_back_it_comes_again_and_says_so(every_case: Case) -> None:
    receiver = every_case.receiver
    receiver.script(every_case.path, ALWAYS_500)
    receiver.script(every_case.undo, [Answer(hang=True), Answer()])
    daemon = every_case.daemon()
    every_case.publish(max_retries=1, roll_back=every_case.undo)
    receiver.wait_for(1, every_case.undo)
    # The failed task must be settled, or its attempt would be repeated too.
    eventually(lambda: every_case.stage.under_way() == {every_case.queue: (0, 1)})
    daemon.kill()
    go_on(every_case, daemon)
    assert attempts(every_case.requests()) == [1, 2]
    assert len(every_case.undone()) == 2
    assert_one_task(every_case, every_case.undone())
    assert len(every_case.dead()) == 1
