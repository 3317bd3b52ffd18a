"""Kill -9 of the daemon at every point of a task's life, and what its receivers see of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.parts import publisher
from tests.parts.daemon import Daemon
from tests.parts.node import RabbitNode
from tests.parts.proxy import FaultProxy, Side
from tests.parts.receiver import Answer, Receiver, Request
from tests.parts.scene import Scene, add_vhost, attempts, by_id, doubted, eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]

QUICK = "min_backoff_seconds = 0.2\nmax_doublings = 0\njitter = 0\nmax_redeliveries = 20\n"
# A task without an id is published anew under one first, and the ack of its original may still be
# on its way when the request is: an answer that takes a while lets it arrive.
SLOWLY = [Answer(delay=0.3)]
ALWAYS_500 = [Answer(500, delay=0.3)]
SIGKILLED = -9


@dataclass(frozen=True, slots=True)
class Case:
    """One task of one kind of publisher on one kind of queue; every path is its own."""

    queue: str
    named: bool
    key: str
    scene: Scene

    @property
    def path(self) -> str:
        return f"/{self.key}"

    @property
    def undo(self) -> str:
        return f"/undo-{self.key}"

    def publish(self, **fields: object) -> float:
        """Publish the task and return the wall clock before."""
        before = time.time()
        name = {"message_id": self.key} if self.named else {}
        publisher.publish(self.scene.direct_url, self.queue, {"url": self.path, **fields}, **name)
        return before

    def requests(self) -> list[Request]:
        return self.scene.receiver.received(self.path)

    def undone(self) -> list[Request]:
        return self.scene.receiver.received(self.undo)

    def dead(self) -> list[publisher.Message]:
        letters = publisher.drain(self.scene.direct_url, f"wr.v1.dead.{self.queue}")
        return [letter for letter in letters if self.path.encode() in letter.body]


@pytest.fixture(scope="module")
def crash_vhost(node: RabbitNode) -> str:
    """One virtual host for all cases: the wheel of a fresh one takes seconds to declare."""
    name = add_vhost(node, f"crash-{uuid4().hex[:8]}")
    publisher.declare_classic(node.vhost_url(name), "classic")
    return name


@pytest.fixture
def scene(node: RabbitNode, crash_vhost: str, receiver: Receiver) -> Scene:
    fresh = Scene(node, crash_vhost, receiver, queue_lines=QUICK, queues=("quorum", "classic"))
    fresh.clear()
    return fresh


@pytest.fixture(params=["quorum-named", "quorum-unnamed", "classic-named", "classic-unnamed"])
def every_case(request: pytest.FixtureRequest, scene: Scene) -> Case:
    return make_case(str(request.param), scene)


@pytest.fixture(params=["quorum-named", "classic-unnamed"])
def case(request: pytest.FixtureRequest, scene: Scene) -> Case:
    return make_case(str(request.param), scene)


def make_case(words: str, scene: Scene) -> Case:
    queue, _, naming = words.partition("-")
    case = Case(queue, naming == "named", uuid4().hex, scene)
    scene.receiver.script(case.path, SLOWLY)
    return case


@pytest.fixture
def proxy(node: RabbitNode) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", node.port) as started:
        yield started


def crash_at(case: Case, failpoint: str, **fields: object) -> float:
    """Publish to a daemon that dies at the failpoint, start another, and let it come to rest."""
    with case.scene.daemon(failpoint) as daemon:
        daemon.ready()
        published = case.publish(**fields)
        assert daemon.wait(15) == SIGKILLED
        go_on(case, daemon)
    return published


def go_on(case: Case, daemon: Daemon) -> None:
    """Start it again without failpoints, and wait until nothing is left to do."""
    daemon.environment.clear()
    mark = daemon.mark()
    daemon.start()
    daemon.ready(after=mark)
    case.scene.comes_to_rest()


def assert_one_task(case: Case, requests: list[Request]) -> None:
    """Whatever came twice came under one id, with one attempt number, and said so."""
    assert len(by_id(requests)) == 1, [each.headers for each in requests]
    for number in set(attempts(requests)):
        again = [each for each in requests if attempts([each]) == [number]][1:]
        assert all(map(doubted, again)), [each.headers for each in again]


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


def test_k3_k5_killed_before_the_ack_of_a_parked_task_it_may_come_twice(case: Case) -> None:
    # Without a store the copy and the message it was made of cannot be told to be one task:
    # both run. Where the message brought no id, each reading of it is given one of its own.
    published = crash_at(case, "park.after:1:kill", countdown=2)
    requests = case.requests()
    assert 1 <= len(requests) <= 2
    assert set(attempts(requests)) == {1}
    assert all(each.arrived_at >= published + 2 for each in requests)
    if case.named:
        assert set(by_id(requests)) == {case.key}


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
    assert 1 <= len(requests) <= 2
    assert all(each.arrived_at >= published + 3 for each in requests)
    if case.named:
        assert set(by_id(requests)) == {case.key}


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


def test_k11_killed_during_the_request_it_comes_again_and_says_so(every_case: Case) -> None:
    receiver = every_case.scene.receiver
    receiver.script(every_case.path, [Answer(hang=True), Answer()])
    with every_case.scene.daemon() as daemon:
        daemon.ready()
        every_case.publish()
        (first,) = receiver.wait_for(1, every_case.path)
        assert not doubted(first)
        eventually(lambda: every_case.scene.under_way() == {every_case.queue: (0, 1)})
        daemon.kill()
        go_on(every_case, daemon)
    assert attempts(every_case.requests()) == [1, 1]
    assert_one_task(every_case, every_case.requests())


def test_k12_killed_with_the_answer_in_hand_it_comes_again_and_says_so(case: Case) -> None:
    crash_at(case, "dispatch.after:1:kill")
    assert attempts(case.requests()) == [1, 1]
    assert_one_task(case, case.requests())


def test_k13_killed_before_the_ack_of_a_success_it_comes_again(every_case: Case) -> None:
    # Nothing but the ack tells the broker of a success: without a store one more is allowed.
    nth = 1 if every_case.named else 2
    crash_at(every_case, f"ack.before:{nth}:kill")
    assert attempts(every_case.requests()) == [1, 1]
    assert_one_task(every_case, every_case.requests())


def test_k15_killed_before_the_ack_of_a_first_retry_both_lines_end(case: Case) -> None:
    # The message and the retry made of it both run: two lines of attempts under one id.
    case.scene.receiver.script(case.path, ALWAYS_500)
    crash_at(case, "park.after:1:kill", max_retries=2, roll_back=case.undo)
    seen = attempts(case.requests())
    assert set(seen) == {1, 2, 3}
    assert max(map(seen.count, seen)) <= 2
    assert len(by_id(case.requests())) == 1
    assert 1 <= len(case.undone()) <= 2
    assert len(by_id(case.undone())) == 1


def test_k15_killed_before_the_ack_of_a_later_retry_one_request_is_repeated(
    every_case: Case,
) -> None:
    every_case.scene.receiver.script(every_case.path, ALWAYS_500)
    crash_at(every_case, "park.after:2:kill", max_retries=2, roll_back=every_case.undo)
    assert attempts(every_case.requests()) == [1, 2, 2, 3]
    assert_one_task(every_case, every_case.requests())
    assert len(every_case.undone()) == 1
    assert len(every_case.dead()) == 1


def test_k16_killed_between_roll_back_and_dead_letter(case: Case) -> None:
    case.scene.receiver.script(case.path, ALWAYS_500)
    nth = 1 if case.named else 2
    crash_at(case, f"enqueue.after:{nth}:kill", max_retries=0, roll_back=case.undo)
    assert_failed_at_most_twice(case)


def test_k16_killed_between_dead_letter_and_ack(case: Case) -> None:
    case.scene.receiver.script(case.path, ALWAYS_500)
    crash_at(case, "bury.after:1:kill", max_retries=0, roll_back=case.undo)
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
    receiver = every_case.scene.receiver
    receiver.script(every_case.path, ALWAYS_500)
    receiver.script(every_case.undo, [Answer(hang=True), Answer()])
    with every_case.scene.daemon() as daemon:
        daemon.ready()
        every_case.publish(max_retries=1, roll_back=every_case.undo)
        receiver.wait_for(1, every_case.undo)
        # The failed task must be settled, or its attempt would be repeated too.
        eventually(lambda: every_case.scene.under_way() == {every_case.queue: (0, 1)})
        daemon.kill()
        go_on(every_case, daemon)
    assert attempts(every_case.requests()) == [1, 2]
    assert len(every_case.undone()) == 2
    assert_one_task(every_case, every_case.undone())
    assert len(every_case.dead()) == 1
