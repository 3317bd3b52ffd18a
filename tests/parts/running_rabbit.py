"""A RabbitBroker at work: how the tests start one, with or without waiting for its connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.parts.running_broker import Heard, Notes, Running, WallClock
from webhook_runner.broker.amqp.stacks import Stack
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.policy.delay import WHEEL, Wheel
from webhook_runner.settings import BrokerSettings


def quick(**changes: object) -> BrokerSettings:
    """Return settings that reconnect at once and notice a dead peer soon."""
    patient: dict[str, object] = {"reconnect_min_seconds": 0.1, "reconnect_max_seconds": 0.5}
    return BrokerSettings.model_validate(patient | changes)


def start(
    url: str,
    queues: tuple[str, ...] = ("q",),
    *,
    wheel: Wheel = WHEEL,
    settings: BrokerSettings | None = None,
    attends: bool = False,
    stack: Stack = "lean",
) -> Running[RabbitBroker]:
    """Start a broker without waiting for its connection."""
    clock, notes, heard = WallClock(), Notes(), Heard()
    broker = RabbitBroker(settings or quick(), (url,), queues, clock, notes, wheel, stack=stack)
    if attends:
        broker.attend(heard)
    return Running(broker, clock, notes, asyncio.ensure_future(broker.run()), heard)


@asynccontextmanager
async def running(
    url: str,
    queues: tuple[str, ...] = ("q",),
    *,
    wheel: Wheel = WHEEL,
    settings: BrokerSettings | None = None,
    attends: bool = False,
    stack: Stack = "lean",
) -> AsyncIterator[Running[RabbitBroker]]:
    """Start a broker, wait until it is connected, and drain it at the end."""
    started = start(url, queues, wheel=wheel, settings=settings, attends=attends, stack=stack)
    await started.until_writable()
    try:
        yield started
    finally:
        await started.stop()
