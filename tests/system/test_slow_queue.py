"""A rate so low that waiting tasks would outlast the broker's patience with unacknowledged ones."""

import time
from collections.abc import Iterator

import pytest

from tests.parts import publisher
from tests.parts.daemon import Daemon
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.receiver import Receiver
from tests.parts.scene import Scene, eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system, pytest.mark.timeout(240)]

PATIENCE_SECONDS = 30
RUN_SECONDS = 78
WAITING = 100


@pytest.fixture(scope="module")
def impatient_node() -> Iterator[RabbitNode]:
    """A broker that closes a channel whose consumer holds a message for half a minute."""
    if Installation.find() is None:
        pytest.skip("no RabbitMQ to test against: install rabbitmq-server")
    with RabbitNode.start(
        config=f"consumer_timeout = {PATIENCE_SECONDS * 1000}",
        advanced="[{rabbit,[{channel_tick_interval,1000}]}].",
    ) as started:
        yield started


def test_what_waits_for_a_low_rate_or_a_late_hour_is_not_held(
    impatient_node: RabbitNode, receiver: Receiver
) -> None:
    scene = Scene(impatient_node, "/", receiver, queues=("slow", "quick"))
    config = scene.config().replace("[queues.slow]\n", '[queues.slow]\nrate = "6/h"\n')
    with Daemon(config) as daemon:
        daemon.ready()
        began = time.time()
        tasks = [{"url": "/slow", "payload": number} for number in range(WAITING)]
        publisher.publish_many(scene.direct_url, "slow", tasks)
        late: list[dict[str, object]] = [
            {"url": "/late", "eta": began + RUN_SECONDS - 8 + number} for number in range(5)
        ]
        publisher.publish_many(scene.direct_url, "quick", late)
        receiver.wait_for(1, "/slow")
        receiver.wait_for(5, "/late", timeout=RUN_SECONDS + 10)
        eventually(lambda: time.time() > began + RUN_SECONDS)
        assert scene.readyz()[0] == 200
        lost = [each for each in daemon.events if each["event"] == "broker.lost"]
        assert daemon.terminate() == 0
    assert lost == []
    assert "timeout" not in impatient_node.log().lower()
    assert_nothing_was_held(scene, late)


def assert_nothing_was_held(scene: Scene, late: list[dict[str, object]]) -> None:
    receiver = scene.receiver
    # A bucket of one, and the next token is ten minutes away.
    assert len(receiver.received("/slow")) == 1
    arrived = [each.arrived_at for each in receiver.received("/late")]
    assert len(arrived) == 5
    assert all(
        at >= float(str(task["eta"])) for at, task in zip(sorted(arrived), late, strict=True)
    )
    left = publisher.drain(scene.direct_url, "slow")
    assert len(left) == WAITING - 1
    # At most the one that was on its way when the queue was left has come and gone.
    counts = [int(str(each.headers.get("x-delivery-count", 0))) for each in left]
    assert sum(counts) <= 1, counts
