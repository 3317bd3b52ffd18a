"""One daemon whose RabbitMQ and whose line to it fail in every way: what it holds comes back."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.parts.daemon import Daemon
from tests.parts.node import RabbitNode
from tests.parts.patient import QUEUE, Patient
from tests.parts.ports import free_port
from tests.parts.proxy import FaultProxy, Side
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer, Receiver
from tests.parts.scene import add_vhost, eventually
from tests.parts.stage import QUICK

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]

HEARTBEAT = 2
CLOSE_ONE = """
catch rabbit_networking:close_connection(hd(rabbit_networking:connections_local()), "by a test").
"""
BROKER = (
    f"[broker]\nheartbeat = {HEARTBEAT}\nreconnect_min_seconds = 0.2\nreconnect_max_seconds = 1\n"
)


@pytest.fixture(scope="module")
def proxy(own_node: RabbitNode) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", own_node.port) as started:
        yield started


@pytest.fixture(scope="module")
def patient(own_node: RabbitNode, proxy: FaultProxy) -> Iterator[Patient]:
    port = free_port()
    top = f'{BROKER}[api]\nlisten = "127.0.0.1:{port}"\n'
    vhost = add_vhost(own_node, "ward")
    with Receiver() as receiver, RabbitStage(own_node, vhost, receiver) as stage:
        server = proxy.url_for(stage.url)
        daemon = stage.daemon({QUEUE: QUICK}, server=server, top=top)
        yield Patient.admit(stage, daemon, port)


def flap(daemon: Daemon, proxy: FaultProxy, _node: RabbitNode) -> None:
    for _ in range(5):
        mark = daemon.mark()
        proxy.cut()
        daemon.wait_for_event("broker.connected", after=mark)


def fall_silent(daemon: Daemon, proxy: FaultProxy, _node: RabbitNode) -> None:
    mark = daemon.mark()
    proxy.black_hole()
    daemon.wait_for_event("broker.lost", after=mark, timeout=20)
    proxy.pass_through()
    daemon.wait_for_event("broker.connected", after=mark, timeout=20)


def close_half(daemon: Daemon, proxy: FaultProxy, _node: RabbitNode) -> None:
    for side in Side:
        mark = daemon.mark()
        proxy.half_close(side)
        daemon.wait_for_event("broker.connected", after=mark, timeout=20)


def refuse(daemon: Daemon, proxy: FaultProxy, _node: RabbitNode) -> None:
    mark, before = daemon.mark(), proxy.connections
    proxy.refuse()
    daemon.wait_for_event("broker.lost", after=mark)
    proxy.pass_through()
    daemon.wait_for_event("broker.connected", after=mark)
    assert proxy.connections > before


def lose_one_of_three(daemon: Daemon, _proxy: FaultProxy, node: RabbitNode) -> None:
    # The other two are for the daemon to close.
    for _ in range(3):
        mark = daemon.mark()
        node.ctl("eval", CLOSE_ONE)
        daemon.wait_for_event("broker.connected", after=mark)


def be_closed_by_an_operator(daemon: Daemon, _proxy: FaultProxy, node: RabbitNode) -> None:
    mark = daemon.mark()
    node.close_all_connections()
    daemon.wait_for_event("broker.connected", after=mark)


FAULTS = [flap, fall_silent, close_half, refuse, lose_one_of_three, be_closed_by_an_operator]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_connection_that_is_lost_leaves_nothing_behind(
    patient: Patient,
    proxy: FaultProxy,
    own_node: RabbitNode,
    fault: Callable[[Daemon, FaultProxy, RabbitNode], None],
) -> None:
    fault(patient.daemon, proxy, own_node)
    patient.recovers()


def test_b10_a_slow_link_is_not_taken_for_a_dead_one(patient: Patient, proxy: FaultProxy) -> None:
    mark = patient.daemon.mark()
    proxy.slow(delay=0.4, jitter=0.2, bytes_per_second=10_000)
    silence = time.monotonic() + 3 * HEARTBEAT
    try:
        patient.publish(*({"url": "/slowly", "countdown": number % 2} for number in range(15)))
        patient.stage.receiver.wait_for(15, "/slowly", timeout=40)
        patient.stage.comes_to_rest(40)
        eventually(lambda: time.monotonic() > silence)
    finally:
        proxy.pass_through()
    assert len(patient.stage.receiver.received("/slowly")) == 15
    later = patient.daemon.events[mark:]
    assert not [each for each in later if each["event"] in {"broker.lost", "broker.connected"}]
    patient.recovers()


def test_an_alarm_of_the_broker_leaves_nothing_behind(
    patient: Patient, own_node: RabbitNode
) -> None:
    mark, receiver = patient.daemon.mark(), patient.stage.receiver
    receiver.script("/again", [Answer(500, hang=True), Answer()])
    patient.publish({"url": "/again"})
    receiver.wait_for(1, "/again")
    own_node.memory_alarm(on=True)
    try:
        eventually(lambda: "memory" in own_node.ctl("eval", "rabbit_alarm:get_alarms()."))
        # Its retry cannot be published: only now does the broker tell that it is blocked.
        receiver.release("/again")
        patient.daemon.wait_for_event("broker.blocked", after=mark)
    finally:
        own_node.memory_alarm(on=False)
    patient.daemon.wait_for_event("broker.unblocked", after=mark)
    patient.stage.comes_to_rest()
    patient.recovers()
