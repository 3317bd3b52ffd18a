"""Kill -9 of the daemon before a task's request, and what its receivers see of it."""

import time
from pathlib import Path

import pytest

from tests.parts.daemon import Daemon
from tests.parts.proxy import FaultProxy, Side
from tests.parts.receiver import Answer, Request
from tests.parts.scene import Scene, attempts, by_id, doubted, eventually
from tests.system.crash_case import (
    QUICK,
    Case,
    case,
    crash_at,
    crash_vhost,
    every_case,
    go_on,
    make_case,
    proxy,
    scene,
)

__all__ = ["case", "crash_vhost", "every_case", "proxy", "scene"]

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]


def test_k1_killed_before_it_was_parsed_nothing_is_sent_twice(case: Case) -> None:
    crash_at(case, "receive.before:1:kill")
    assert attempts(case.requests()) == [1]


def test_k1_killed_right_after_its_arrival_nothing_is_sent_twice(case: Case) -> None:
    crash_at(case, "receive.after:1:kill")
    assert attempts(case.requests()) == [1]


def test_k2_killed_before_a_delay_was_published_it_comes_once_and_not_early(
    case: Case,
) -> None:
    published = crash_at(case, "park.before:1:kill", countdown=2)
    (request,) = case.requests()
    assert request.arrived_at >= published + 2


def test_k3_k5_killed_before_the_ack_of_a_parked_task_it_comes_once(case: Case) -> None:
    published = crash_at(case, "park.after:1:kill", countdown=2)
    requests = case.requests()
    assert set(attempts(requests)) == {1}
    assert all(each.arrived_at >= published + 2 for each in requests)
    assert_one_line(case, requests)


def assert_one_line(case: Case, requests: list[Request]) -> None:
    """A message that brought no id is given one at each reading: nothing tells its lines apart."""
    if case.named:
        assert set(by_id(requests)) == {case.key}
    assert len(requests) <= (1 if case.named else 2)


def test_k4_killed_before_the_confirm_of_a_parked_task_was_seen(
    case: Case, proxy: FaultProxy
) -> None:
    case.scene.url = proxy.url_for(case.scene.direct_url)
    with case.scene.daemon("park.before:1:stop") as daemon:
        daemon.ready()
        published = case.publish(countdown=3)
        eventually(lambda: is_frozen(daemon))
        proxy.hold(Side.CLIENT)
        daemon.resume()
        eventually(lambda: any("wait" in name for name in case.scene.under_way()))
        daemon.kill()
        proxy.pass_through()
        go_on(case, daemon)
    requests = case.requests()
    assert all(each.arrived_at >= published + 3 for each in requests)
    assert_one_line(case, requests)


def is_frozen(daemon: Daemon) -> bool:
    return Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_k6_k14_killed_after_its_ack_it_does_not_come_again(case: Case) -> None:
    with case.scene.daemon() as daemon:
        daemon.ready()
        case.publish()
        case.scene.receiver.wait_for(1, case.path)
        case.scene.comes_to_rest()
        daemon.kill()
        go_on(case, daemon)
    assert attempts(case.requests()) == [1]


def test_k7_what_became_due_while_the_daemon_was_down_is_sent_when_it_is_back(
    case: Case,
) -> None:
    with case.scene.daemon() as daemon:
        daemon.ready()
        published = case.publish(countdown=2)
        daemon.wait_for_event("task.scheduled")
        eventually(lambda: queues_of(case.scene, "wait"))
        daemon.kill()
        eventually(lambda: time.time() > published + 2.5)
        restarted = time.time()
        go_on(case, daemon)
    (request,) = case.requests()
    assert request.arrived_at >= max(published + 2, restarted)
    assert not doubted(request) or case.queue == "classic"


def test_k7_what_expired_while_the_daemon_was_down_is_rolled_back_unsent(case: Case) -> None:
    with case.scene.daemon() as daemon:
        daemon.ready()
        expires = time.time() + 3
        case.publish(countdown=2, expires=expires, roll_back=case.undo)
        daemon.wait_for_event("task.scheduled")
        eventually(lambda: queues_of(case.scene, "wait"))
        daemon.kill()
        eventually(lambda: time.time() > expires)
        go_on(case, daemon)
    assert case.requests() == []
    (undo,) = case.undone()
    assert undo.header("Webhook-Runner-Failure-Reason") == "expired"
    assert undo.header("Webhook-Runner-Attempts") == "0"
    assert len(case.dead()) == 1


def queues_of(scene: Scene, part: str) -> list[str]:
    return [name for name in scene.under_way() if part in name]


def test_k8_killed_while_a_slot_held_it_a_task_comes_once_and_not_early(case: Case) -> None:
    with case.scene.daemon() as daemon:
        daemon.ready()
        # Due late in its slot, so that the slot is open, and the task held, well before.
        eta = int(time.time()) + 3.95
        case.publish(eta=eta)
        eventually(
            lambda: any(out for name, (_, out) in case.scene.under_way().items() if "wait" in name)
        )
        daemon.kill()
        go_on(case, daemon)
    (request,) = case.requests()
    assert request.arrived_at >= eta


def test_k8_killed_at_the_hand_over_a_task_in_two_queues_comes_once(
    case: Case, proxy: FaultProxy
) -> None:
    scene = case.scene
    scene.url, scene.queue_lines = proxy.url_for(scene.direct_url), QUICK + "concurrency = 1\n"
    busy = make_case(f"{case.queue}-named", scene)
    scene.receiver.script(busy.path, [Answer(hang=True), Answer()])
    with scene.daemon() as daemon:
        daemon.ready()
        busy.publish()
        scene.receiver.wait_for(1, busy.path)
        eta = int(time.time()) + 3.9
        case.publish(eta=eta)
        daemon.wait_for_event("task.scheduled")
        eventually(lambda: time.time() > eta - 0.6)
        proxy.hold(Side.CLIENT)
        # The one slot is taken, so it goes to its work queue, and its confirm is held back.
        eventually(lambda: scene.under_way().get(case.queue) == (0, 2))
        assert queues_of(scene, "wait")
        daemon.kill()
        proxy.pass_through()
        go_on(case, daemon)
    (request,) = case.requests()
    assert request.arrived_at >= eta


def test_k9_killed_while_it_waited_for_a_slot_it_comes_once(case: Case) -> None:
    scene = case.scene
    scene.queue_lines = QUICK + "concurrency = 1\n"
    busy = make_case(f"{case.queue}-named", scene)
    scene.receiver.script(busy.path, [Answer(hang=True), Answer()])
    with scene.daemon() as daemon:
        daemon.ready()
        busy.publish()
        scene.receiver.wait_for(1, busy.path)
        case.publish()
        daemon.wait_for_event("task.received", url=case.path)
        eventually(lambda: scene.under_way() == {case.queue: (0, 2)})
        daemon.kill()
        go_on(case, daemon)
    assert attempts(case.requests()) == [1]
    assert attempts(busy.requests()) == [1, 1]


@pytest.mark.parametrize("queue", ["quorum", "classic"])
def test_k10_killed_before_the_first_byte_it_comes_once(scene: Scene, queue: str) -> None:
    case = make_case(f"{queue}-named", scene)
    crash_at(case, "dispatch.before:1:kill")
    assert attempts(case.requests()) == [1]


@pytest.mark.parametrize("queue", ["quorum", "classic"])
def test_k5_killed_before_the_ack_of_a_task_just_given_its_id_it_may_come_under_two(
    scene: Scene, queue: str
) -> None:
    # Two equal messages without ids are two tasks, so the second reading gets an id of its own.
    case = make_case(f"{queue}-unnamed", scene)
    crash_at(case, "enqueue.after:1:kill")
    assert set(attempts(case.requests())) == {1}
    assert all(len(each) <= 2 for each in by_id(case.requests()).values())
    assert 1 <= len(by_id(case.requests())) <= 2
