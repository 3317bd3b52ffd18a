"""What becomes of the configuration where a daemon or a part of it is made a client of RabbitMQ."""

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from webhook_runner.broker.amqp.stacks import STACKS, Stack, connect_by
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.process.edges import rabbit
from webhook_runner.process.workers.parent_broker import ParentBroker
from webhook_runner.settings import PerformanceSettings, Settings


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("kind", [RabbitBroker, ParentBroker])
async def test_the_client_is_the_one_that_was_chosen(
    kind: type[RabbitBroker], stack: Stack
) -> None:
    settings = Settings(performance=PerformanceSettings(amqp=stack))
    broker = rabbit(kind, settings, FakeClock(), RecordingObserver())
    assert broker._around.connect == connect_by(stack)
