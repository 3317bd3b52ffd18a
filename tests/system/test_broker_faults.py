"""A broker that dies, stops, stalls, refuses or forgets: nothing is lost, and it is told why."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.proxy import FaultProxy
from tests.parts.receiver import Answer, Receiver, Request
from tests.parts.scene import Scene, add_vhost, doubted, eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]

QUICK = "min_backoff_seconds = 0.2\nmax_doublings = 0\njitter = 0\n"
BROKER = "heartbeat = 2\nreconnect_min_seconds = 0.2\nreconnect_max_seconds = 1\n"


@pytest.fixture(scope="module")
def fault_vhost(own_node: RabbitNode) -> str:
    name = add_vhost(own_node, "faults")
    publisher.declare_classic(own_node.vhost_url(name), "classic")
    with Receiver() as receiver:
        scene = Scene(own_node, name, receiver, queues=("quorum", "classic"))
        with scene.daemon() as daemon:
            daemon.ready()
    # The broker confirms a quorum queue up to half a second before its name is on the disk; one
    # that is killed meanwhile comes back with a queue that has no leader, and never will.
    own_node.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
    return name


@pytest.fixture
def scene(own_node: RabbitNode, fault_vhost: str, receiver: Receiver) -> Scene:
    fresh = Scene(
        own_node,
        fault_vhost,
        receiver,
        queue_lines=QUICK,
        broker_lines=BROKER,
        queues=("quorum", "classic"),
    )
    fresh.clear()
    return fresh


@pytest.fixture
def proxy(own_node: RabbitNode) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", own_node.port) as started:
        yield started


def own_path() -> str:
    return f"/{uuid4().hex}"


def hang(scene: Scene) -> list[str]:
    """Let four tasks, with and without ids, hang at the receiver; return their paths."""
    paths = []
    for queue in ("quorum", "classic"):
        for name in ({}, {"message_id": uuid4().hex}):
            paths.append(own_path())
            scene.receiver.script(paths[-1], [Answer(hang=True)])
            publisher.publish(scene.direct_url, queue, {"url": paths[-1]}, **name)
    for path in paths:
        scene.receiver.wait_for(1, path)
    # The originals of those that were given their ids are acknowledged by then.
    eventually(lambda: scene.under_way() == {"quorum": (0, 2), "classic": (0, 2)})
    return paths


def assert_once(scene: Scene, paths: list[str]) -> None:
    scene.comes_to_rest(40)
    assert {path: len(scene.receiver.received(path)) for path in paths} == dict.fromkeys(paths, 1)


def test_b1_a_killed_broker_loses_nothing(scene: Scene) -> None:
    paths = [own_path() for _ in range(60)]
    for path in paths:
        scene.receiver.script(path, [Answer(delay=0.1)])
    with scene.daemon() as daemon:
        daemon.ready()
        for number, path in enumerate(paths):
            later = {"countdown": 2} if number % 3 == 0 else {}
            queue = "quorum" if number % 2 else "classic"
            publisher.publish(scene.direct_url, queue, {"url": path, **later})
        scene.receiver.wait_for(10)
        scene.node.kill()
        daemon.wait_for_event("broker.lost")
        scene.becomes_ready(ready=False)
        scene.node.restart()
        before = len(scene.receiver.requests)
        scene.receiver.wait_for(before + 1, timeout=15)
        scene.becomes_ready()
        scene.comes_to_rest()
    seen = [len(scene.receiver.received(path)) for path in paths]
    assert min(seen) >= 1
    assert sum(seen) - len(paths) <= 20, "more came twice than can have been in flight"


def test_b2_a_stopped_broker_application_is_waited_for(scene: Scene) -> None:
    with scene.daemon() as daemon:
        daemon.ready()
        paths = hang(scene)
        scene.node.ctl("stop_app")
        daemon.wait_for_event("broker.lost")
        scene.receiver.release()
        scene.node.ctl("start_app")
        scene.becomes_ready(timeout=40)
        assert_once(scene, paths)


def test_b3_a_broker_that_is_absent_at_start_is_waited_for(scene: Scene, proxy: FaultProxy) -> None:
    scene.url = proxy.url_for(scene.direct_url)
    proxy.refuse()
    with scene.daemon() as daemon:
        daemon.wait_for_event("broker.lost")
        assert scene.becomes_ready(ready=False)["broker"] == "not connected"
        proxy.pass_through()
        daemon.ready()
        scene.becomes_ready()


@pytest.mark.parametrize("alarm", ["memory", "disk"])
def test_b4_b5_no_request_starts_under_an_alarm_and_all_is_made_up_for(
    scene: Scene, alarm: str
) -> None:
    scene.queue_lines = QUICK + "concurrency = 1\n"
    sound = scene.node.memory_alarm if alarm == "memory" else scene.node.disk_alarm
    paths = [own_path() for _ in range(6)]
    scene.receiver.script(paths[0], [Answer(500, hang=True), Answer()])
    for path in paths[1:]:
        # So slow that the broker's word comes before the third is answered.
        scene.receiver.script(path, [Answer(delay=1.0)])
    with scene.daemon() as daemon:
        daemon.ready()
        for path in paths:
            publisher.publish(scene.direct_url, "quorum", {"url": path}, message_id=path[1:])
        scene.receiver.wait_for(1)
        sound(on=True)
        eventually(lambda: alarm in scene.node.ctl("eval", "rabbit_alarm:get_alarms()."))
        try:
            # Its retry cannot be published: only now does the broker tell that it is blocked.
            scene.receiver.release()
            daemon.wait_for_event("broker.blocked")
            assert "blocked" in scene.becomes_ready(ready=False)["broker"]
            begun = len(scene.receiver.requests)
            assert begun <= 3
            daemon.wait_for_event("task.received", url=paths[5])
        finally:
            sound(on=False)
        daemon.wait_for_event("broker.unblocked")
        scene.becomes_ready()
        scene.comes_to_rest()
    assert [len(scene.receiver.received(path)) for path in paths] == [2, 1, 1, 1, 1, 1]


def silence_of_the_broker(scene: Scene, proxy: FaultProxy) -> Callable[[], None]:
    scene.node.pause()
    return scene.node.resume


def silence_of_the_link(scene: Scene, proxy: FaultProxy) -> Callable[[], None]:
    proxy.black_hole()
    return proxy.pass_through


@pytest.mark.parametrize("silence", [silence_of_the_broker, silence_of_the_link])
def test_b6_b7_outcomes_of_a_silent_time_are_not_repeated(
    scene: Scene,
    proxy: FaultProxy,
    silence: Callable[[Scene, FaultProxy], Callable[[], None]],
) -> None:
    scene.url = proxy.url_for(scene.direct_url)
    with scene.daemon() as daemon:
        daemon.ready()
        paths = hang(scene)
        end = silence(scene, proxy)
        try:
            scene.receiver.release()
            daemon.wait_for_event("broker.lost", timeout=15)
            scene.becomes_ready(ready=False)
        finally:
            end()
        scene.becomes_ready(timeout=40)
        scene.comes_to_rest(40)
    seen = {path: scene.receiver.received(path) for path in paths}
    assert all(len(each) == 1 or is_repeated_ack(each) for each in seen.values())
    # What was given its id here is recognised however the connection ended.
    assert [len(seen[path]) for path in paths[::2]] == [1, 1]


def is_repeated_ack(requests: list[Request]) -> bool:
    """Tell whether the ack of a first request got lost on its way, and the second says so.

    Two equal messages of a publisher may be two tasks, so one whose ack was sent is not held
    against the next one that is like it.
    """
    return len(requests) == 2 and doubted(requests[1])


def test_b9_a_flapping_link_costs_no_descriptors(scene: Scene, proxy: FaultProxy) -> None:
    scene.url = proxy.url_for(scene.direct_url)
    with scene.daemon() as daemon:
        daemon.ready()
        descriptors = Path(f"/proc/{daemon.pid}/fd")
        before = len(list(descriptors.iterdir()))
        for _ in range(8):
            mark = daemon.mark()
            proxy.cut()
            daemon.wait_for_event("broker.connected", after=mark)
        scene.becomes_ready()
        eventually(lambda: len(list(descriptors.iterdir())) <= before + 3)
        lost = [each for each in daemon.events if each["event"] == "broker.lost"]
        assert len(lost) <= 10
        publisher.publish(scene.direct_url, "quorum", {"url": "/after-the-flapping"})
        scene.receiver.wait_for(1, "/after-the-flapping")
        scene.comes_to_rest()


def test_b11_a_deleted_queue_is_made_anew_and_its_parked_tasks_arrive(scene: Scene) -> None:
    with scene.daemon() as daemon:
        daemon.ready()
        publisher.publish(scene.direct_url, "quorum", {"url": "/parked", "countdown": 3})
        daemon.wait_for_event("task.scheduled")
        mark = daemon.mark()
        scene.node.delete_queue("quorum", scene.vhost)
        daemon.wait_for_event("queue.consuming", queue="quorum", after=mark)
        publisher.publish(scene.direct_url, "quorum", {"url": "/anew"})
        scene.receiver.wait_for(1, "/anew")
        scene.receiver.wait_for(1, "/parked")
        scene.comes_to_rest()


def test_b12_a_queue_declared_otherwise_is_adopted_with_a_warning(scene: Scene) -> None:
    scene.queues = ("odd",)
    publisher.declare_quorum(scene.direct_url, "odd", x_max_length=1000)
    with scene.daemon() as daemon:
        daemon.ready()
        warning = daemon.wait_for_event("warning", about="queue odd differs")
        assert "x-max-length" in str(warning["text"]) or "x-dead-letter" in str(warning["text"])
        publisher.publish(scene.direct_url, "odd", {"url": "/adopted", "countdown": 1.5})
        scene.receiver.wait_for(1, "/adopted")
        scene.comes_to_rest()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("guest:guest@", "guest:much-too-secret@"), "refused user or password"),
        (("/faults", "/nowhere"), "nowhere"),
    ],
)
def test_b13_wrong_credentials_are_told_once_and_not_shown(
    scene: Scene, proxy: FaultProxy, wrong: tuple[str, str], told: str
) -> None:
    scene.url = proxy.url_for(scene.direct_url).replace(*wrong)
    with scene.daemon() as daemon:
        lost = daemon.wait_for_event("broker.lost")
        eventually(lambda: proxy.connections >= 5)
        assert told in str(lost["error"])
        assert sum(each["event"] == "broker.lost" for each in daemon.events) == 1
        assert len(daemon.lines) <= 5
        assert "much-too-secret" not in "".join(daemon.lines)
        assert daemon.returncode is None


def test_b13_a_missing_permission_ends_the_start_with_its_name(scene: Scene) -> None:
    scene.node.ctl("add_user", "reader", "much-too-secret")
    scene.node.ctl("set_permissions", "-p", scene.vhost, "reader", "^$", ".*", ".*")
    scene.url = scene.direct_url.replace("guest:guest@", "reader:much-too-secret@")
    scene.queues = ("undeclared",)
    with scene.daemon() as daemon:
        warning = daemon.wait_for_event("warning", about="topology")
        assert "undeclared" in str(warning["text"])
        assert "access" in str(warning["text"]).lower()
        assert daemon.wait(10) == 78
        assert "much-too-secret" not in "".join(daemon.lines)


def test_b14_a_request_longer_than_the_brokers_patience_is_sent_once(scene: Scene) -> None:
    set_patience(scene.node, timeout=3_000, tick=1_000)
    try:
        with scene.daemon() as daemon:
            daemon.ready()
            paths = hang(scene)
            mark = daemon.mark()
            lost = daemon.wait_for_event("broker.lost", timeout=20)
            assert "timeout" in str(lost["error"]).lower()
            daemon.wait_for_event("broker.connected", after=mark)
            set_patience(scene.node, timeout=1_800_000, tick=60_000)
            scene.receiver.release()
            assert_once(scene, paths)
    finally:
        set_patience(scene.node, timeout=1_800_000, tick=60_000)


def set_patience(node: RabbitNode, *, timeout: int, tick: int) -> None:
    """Set the acknowledgement timeout (ms) for channels opened from now on."""
    node.ctl(
        "eval",
        f"application:set_env(rabbit, consumer_timeout, {timeout}), "
        f"application:set_env(rabbit, channel_tick_interval, {tick}).",
    )


def test_b15_connections_closed_by_an_operator_repeat_no_request(scene: Scene) -> None:
    with scene.daemon() as daemon:
        daemon.ready()
        paths = hang(scene)
        mark = daemon.mark()
        scene.node.close_all_connections()
        daemon.wait_for_event("broker.connected", after=mark)
        scene.becomes_ready()
        scene.receiver.release()
        assert_once(scene, paths)


def test_b16_what_finds_no_queue_is_declared_a_home(scene: Scene) -> None:
    scene.receiver.script("/fails", [Answer(500)])
    with scene.daemon() as daemon:
        daemon.ready()
        for queue in ("wr.v1.dead.quorum", "wr.v1.unrouted"):
            scene.node.delete_queue(queue, scene.vhost)
        publisher.publish(
            scene.direct_url, "quorum", {"url": "/fails", "max_retries": 0, "roll_back": "/undo"}
        )
        scene.receiver.wait_for(1, "/undo")
        scene.comes_to_rest()
        assert publisher.depth(scene.direct_url, "wr.v1.dead.quorum") == 1


def test_a_slot_of_the_wheel_deleted_by_hand_delays_its_tasks_but_keeps_them(
    scene: Scene,
) -> None:
    with scene.daemon() as daemon:
        daemon.ready()
        # Well above what the deletion takes, and parked on the finest level.
        due = int(time.time()) + 6.5
        scene.node.delete_queue(f"wr.v1.wait.0.{int(due) % 64}", scene.vhost)
        publisher.publish(scene.direct_url, "quorum", {"url": "/homeless", "eta": due})
        daemon.wait_for_event("task.scheduled")
        (request,) = scene.receiver.wait_for(1, "/homeless", timeout=45)
        assert request.arrived_at >= due
        scene.comes_to_rest()
