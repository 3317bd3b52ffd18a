"""Kill -9 of the daemon before a task's request, and what its receivers see of it."""

import time
from pathlib import Path

import pytest

from tests.parts.daemon import Daemon
from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.proxy import FaultProxy, Side
from tests.parts.receiver import Answer, Request
from tests.parts.scene import attempts, by_id, doubted, eventually
from tests.system.crash_case import (
    EMBEDDED,
    SIGKILLED,
    Case,
    Cases,
    amqp,
    amqp_case,
    assert_one_task,
    case,
    crash_at,
    crash_stage,
    crash_vhost,
    go_on,
    make_case,
    proxy,
)

__all__ = ["amqp_case", "case", "crash_stage", "crash_vhost", "make_case", "proxy"]

pytestmark = pytest.mark.system


def test_k1_killed_before_it_was_parsed_nothing_is_sent_twice(case: Case) -> None:
    crash_at(case, "receive.before:1:kill")
    assert attempts(case.requests()) == [1]


def test_k1_killed_right_after_its_arrival_nothing_is_sent_twice(case: Case) -> None:
    crash_at(case, "receive.after:1:kill")
    assert attempts(case.requests()) == [1]


def test_k2_killed_before_a_delay_was_published_it_comes_once_and_not_early(
    amqp_case: Case,
) -> None:
    published = crash_at(amqp_case, "park.before:1:kill", countdown=2)
    (request,) = amqp_case.requests()
    assert request.arrived_at >= published + 2


@pytest.mark.parametrize("point", ["enqueue", "park"])
def test_k2_killed_before_a_task_was_kept_its_publisher_has_no_answer(
    stage: EmbeddedStage, make_case: Cases, point: str
) -> None:
    case = make_case("embedded-named")
    daemon = case.daemon(f"{point}.before:1:kill")
    with pytest.raises(ConnectionError):
        case.publish(countdown=0.2 if point == "park" else 0)
    assert daemon.wait(15) == SIGKILLED
    assert stage.under_way() == {}
    go_on(case, daemon)
    assert case.requests() == []


@pytest.mark.parametrize("point", ["enqueue", "park"])
def test_k3_killed_before_its_publisher_was_answered_a_task_is_kept_and_comes_once(
    make_case: Cases, point: str
) -> None:
    case = make_case("embedded-unnamed")
    daemon = case.daemon(f"{point}.after:1:kill")
    published = time.time()
    with pytest.raises(ConnectionError):
        case.publish(countdown=1 if point == "park" else 0)
    assert daemon.wait(15) == SIGKILLED
    go_on(case, daemon)
    (request,) = case.requests()
    assert request.arrived_at >= published + (point == "park")


def test_k3_k5_killed_before_the_ack_of_a_parked_task_it_comes_once(amqp_case: Case) -> None:
    published = crash_at(amqp_case, "park.after:1:kill", countdown=2)
    requests = amqp_case.requests()
    assert set(attempts(requests)) == {1}
    assert all(each.arrived_at >= published + 2 for each in requests)
    assert_one_line(amqp_case, requests)


def assert_one_line(case: Case, requests: list[Request]) -> None:
    """A message that brought no id is given one at each reading: nothing tells its lines apart."""
    if case.named:
        assert set(by_id(requests)) == {case.key}
    assert len(requests) <= (1 if case.named else 2)


def test_k4_killed_before_the_confirm_of_a_parked_task_was_seen(
    amqp_case: Case, proxy: FaultProxy
) -> None:
    case = amqp_case
    daemon = case.daemon("park.before:1:stop", server=proxy.url_for(case.stage.url))
    published = case.publish(countdown=3)
    eventually(lambda: is_frozen(daemon))
    proxy.hold(Side.CLIENT)
    daemon.resume()
    eventually(case.stage.waits)
    daemon.kill()
    proxy.pass_through()
    go_on(case, daemon)
    requests = case.requests()
    assert all(each.arrived_at >= published + 3 for each in requests)
    assert_one_line(case, requests)


def is_frozen(daemon: Daemon) -> bool:
    return Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_k6_k14_killed_after_its_ack_it_does_not_come_again(case: Case) -> None:
    daemon = case.daemon()
    case.publish()
    case.receiver.wait_for(1, case.path)
    case.stage.comes_to_rest()
    daemon.kill()
    go_on(case, daemon)
    assert attempts(case.requests()) == [1]


def is_parked(case: Case) -> bool:
    """Tell whether the task waits for its time, and its original is settled."""
    under_way = case.stage.under_way()
    return case.queue not in under_way and any("wait" in name for name in under_way)


def test_k7_what_became_due_while_the_daemon_was_down_is_sent_when_it_is_back(
    case: Case,
) -> None:
    daemon = case.daemon()
    wait = 2 if case.embedded else 4  # to see it parked takes RabbitMQ's tool a while
    published = case.publish(countdown=wait)
    daemon.wait_for_event("task.scheduled")
    eventually(lambda: is_parked(case))
    daemon.kill()
    eventually(lambda: time.time() > published + wait + 0.5)
    restarted = time.time()
    go_on(case, daemon)
    (request,) = case.requests()
    assert request.arrived_at >= max(published + wait, restarted)
    # RabbitMQ may have handed it over before, if its slot was open when the daemon died.
    assert not doubted(request) or not case.embedded


def test_k7_what_expired_while_the_daemon_was_down_is_rolled_back_unsent(case: Case) -> None:
    daemon = case.daemon()
    wait = 2 if case.embedded else 4
    expires = time.time() + wait + 1
    case.publish(countdown=wait, expires=expires, roll_back=case.undo)
    daemon.wait_for_event("task.scheduled")
    eventually(lambda: is_parked(case))
    daemon.kill()
    eventually(lambda: time.time() > expires)
    go_on(case, daemon)
    assert case.requests() == []
    (undo,) = case.undone()
    assert undo.header("Webhook-Runner-Failure-Reason") == "expired"
    assert undo.header("Webhook-Runner-Attempts") == "0"
    assert len(case.dead()) == 1


@pytest.mark.parametrize("naming", EMBEDDED)
def test_k8_killed_at_the_hand_over_of_what_is_due_it_comes_once_and_not_early(
    make_case: Cases, naming: str
) -> None:
    case = make_case(naming)
    published = crash_at(case, "receive.before:1:kill", countdown=0.5)
    (request,) = case.requests()
    assert request.arrived_at >= published + 0.5


def test_k8_killed_while_a_slot_held_it_a_task_comes_once_and_not_early(amqp_case: Case) -> None:
    case = amqp_case
    daemon = case.daemon()
    # Due late in its slot, so that the slot is open, and the task held, well before.
    eta = int(time.time()) + 3.95
    case.publish(eta=eta)
    eventually(
        lambda: any(out for name, (_, out) in case.stage.under_way().items() if "wait" in name)
    )
    daemon.kill()
    is_too_late = time.time() >= eta  # a slow machine: it may have been called before
    go_on(case, daemon)
    requests = case.requests()
    assert all(request.arrived_at >= eta for request in requests)
    assert_one_task(case, requests)
    assert is_too_late or len(requests) == 1


def occupied(case: Case, make_case: Cases) -> Case:
    """Let another task of the same queue take the only slot."""
    busy = make_case(f"{case.queue}-named")
    busy.receiver.script(busy.path, [Answer(hang=True), Answer()])
    busy.publish()
    busy.receiver.wait_for(1, busy.path)
    return busy


def test_k8_killed_at_the_hand_over_a_task_in_two_queues_comes_once(
    amqp_case: Case, make_case: Cases, proxy: FaultProxy
) -> None:
    case = amqp_case
    server = proxy.url_for(case.stage.url)
    daemon = case.daemon(server=server, lines="concurrency = 1\n")
    occupied(case, make_case)
    eta = int(time.time()) + 3.9
    case.publish(eta=eta)
    daemon.wait_for_event("task.scheduled")
    eventually(lambda: time.time() > eta - 0.6)
    proxy.hold(Side.CLIENT)
    # The one slot is taken, so it goes to its work queue, and its confirm is held back.
    eventually(lambda: case.stage.under_way().get(case.queue) == (0, 2))
    assert case.stage.waits()
    daemon.kill()
    proxy.pass_through()
    go_on(case, daemon)
    (request,) = case.requests()
    assert request.arrived_at >= eta


def test_k9_killed_while_it_waited_for_a_slot_it_comes_once(case: Case, make_case: Cases) -> None:
    daemon = case.daemon(lines="concurrency = 1\n")
    busy = occupied(case, make_case)
    case.publish()
    daemon.wait_for_event("task.received", url=case.path)
    eventually(lambda: case.stage.under_way() == {case.queue: (0, 2)})
    daemon.kill()
    go_on(case, daemon)
    assert attempts(case.requests()) == [1]
    assert attempts(busy.requests()) == [1, 1]


@pytest.mark.parametrize("words", [*EMBEDDED, *amqp("quorum-named", "classic-named")])
def test_k10_killed_before_the_first_byte_it_comes_once(make_case: Cases, words: str) -> None:
    case = make_case(words)
    crash_at(case, "dispatch.before:1:kill")
    assert attempts(case.requests()) == [1]


@pytest.mark.parametrize("words", amqp("quorum-unnamed", "classic-unnamed"))
def test_k5_killed_before_the_ack_of_a_task_just_given_its_id_it_may_come_under_two(
    make_case: Cases, words: str
) -> None:
    # Two equal messages without ids are two tasks, so the second reading gets an id of its own.
    case = make_case(words)
    crash_at(case, "enqueue.after:1:kill")
    assert set(attempts(case.requests())) == {1}
    assert all(len(each) <= 2 for each in by_id(case.requests()).values())
    assert 1 <= len(by_id(case.requests())) <= 2


@pytest.mark.parametrize(("point", "most"), [("quarantine.before", 1), ("quarantine.after", 2)])
def test_killed_while_it_sets_an_invalid_message_aside_it_is_kept_and_never_sent(
    amqp_case: Case, point: str, most: int
) -> None:
    case = amqp_case
    crash_at(case, f"{point}:1:kill", countdown="soon")
    aside = [each for each in case.stage.invalid(case.queue) if case.path.encode() in each.body]
    assert 1 <= len(aside) <= most
    assert case.requests() == []
