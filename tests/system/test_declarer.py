"""Questions about queues, asked at once by several parts of one session."""

import asyncio

import pytest

from tests.parts import publisher
from webhook_runner.broker.amqp.session import Session, Surroundings
from webhook_runner.broker.amqp.stacks import STACKS, Stack, connect_by
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.process.clock import SystemClock
from webhook_runner.settings import BrokerSettings
from webhook_runner.task.event import Event


class Silent:
    def notice(self, event: Event) -> None:
        return


@pytest.mark.rabbitmq
@pytest.mark.parametrize("stack", STACKS)
async def test_a_missing_queue_does_not_disturb_who_asks_for_another(
    vhost_url: str, stack: Stack
) -> None:
    publisher.declare_classic(vhost_url, "there")
    topology, connect = Topology("wr.v1", ()), connect_by(stack)
    around = Surroundings(BrokerSettings(), topology, SystemClock(), Silent(), connect)
    session = await Session.open(around, [vhost_url])
    try:
        assert await session.declarer.count("there") == 0  # from now on there is a channel
        names = ["there", "missing"] * 10
        counts = await asyncio.gather(*(session.declarer.count(name) for name in names))
        assert counts == [0, None] * 10
        assert not session.lost.done()
    finally:
        await session.close()
