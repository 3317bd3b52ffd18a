"""What `doctor` asks a broker: the answers are right, and asking leaves nothing behind."""

from collections.abc import AsyncIterator

import pytest

from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.rabbit_stage import RabbitStage
from webhook_runner.broker.amqp.probe import Probe
from webhook_runner.broker.amqp.topology import Queue, Topology
from webhook_runner.errors import BrokerUnavailableError
from webhook_runner.settings import BrokerSettings

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]

TOPOLOGY = Topology("wr.v1", ("q",))


@pytest.fixture
async def probe(rabbit_stage: RabbitStage) -> AsyncIterator[Probe]:
    opened = await Probe.open(rabbit_stage.url, BrokerSettings())
    yield opened
    await opened.close()


def objects(stage: RabbitStage) -> str:
    tables = ("list_queues", "list_exchanges", "list_bindings")
    return "".join(stage.node.ctl(table, "-p", stage.vhost) for table in tables)


async def test_a_queue_is_seen_as_it_is(probe: Probe, rabbit_stage: RabbitStage) -> None:
    publisher.declare_classic(rabbit_stage.url, "q")
    rabbit_stage.publish("q", {"url": "/x"})
    before = objects(rabbit_stage)
    work = await probe.standing(TOPOLOGY.work_queue("q"))
    assert work is not None
    assert (work.ready, work.consumers, work.compared) == (1, 0, True)
    assert "x-" in work.differs
    same = await probe.standing(Queue("q", {}))
    assert same is not None
    assert same.differs == ""
    assert await probe.standing(TOPOLOGY.aside("q")[0]) is None
    assert not await probe.has_exchange("wr.v1.work")
    assert objects(rabbit_stage) == before
    rabbit_stage.wait_for_depths("q", 1, 0)


async def test_rights_are_known_without_being_used(
    probe: Probe, rabbit_stage: RabbitStage, node: RabbitNode
) -> None:
    publisher.declare_classic(rabbit_stage.url, "q")
    rabbit_stage.publish("q", {"url": "/x"})
    before = objects(rabbit_stage)
    for queue in ("q", "wr.v1.dead.q"):
        assert await probe.may_configure(queue)
        assert await probe.may_read(queue)
    for exchange in ("amq.direct", "wr.v1.work"):
        assert await probe.may_write(exchange)
    node.ctl("add_user", rabbit_stage.vhost, "confined")
    node.ctl("set_permissions", "-p", rabbit_stage.vhost, rabbit_stage.vhost, "^$", "^$", "^$")
    url = rabbit_stage.url.replace("guest:guest@", f"{rabbit_stage.vhost}:confined@")
    confined = await Probe.open(url, BrokerSettings())
    try:
        seen = await confined.standing(TOPOLOGY.work_queue("q"))
        assert seen is not None
        assert not seen.compared
        assert not await confined.may_configure("q")
        assert not await confined.may_read("q")
        assert not await confined.may_write("amq.direct")
    finally:
        await confined.close()
    assert objects(rabbit_stage) == before
    rabbit_stage.wait_for_depths("q", 1, 0)


async def test_a_wrong_password_is_told(rabbit_stage: RabbitStage) -> None:
    url = rabbit_stage.url.replace("guest:guest@", "guest:wrong@")
    with pytest.raises(BrokerUnavailableError, match="user or password"):
        await Probe.open(url, BrokerSettings())
