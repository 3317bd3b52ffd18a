"""RabbitMQ, as seen by an application beside us."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from tests.contract.rig import Kept, Rig
from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.running_broker import Running
from tests.parts.running_rabbit import running
from webhook_runner.broker.amqp.stacks import Stack
from webhook_runner.broker.rabbitmq import RabbitBroker

QUEUES = ("q", "other")
_BESIDE = {"x-delivery-count", "wr-set-aside"}
"""What a letter carries here beside what every broker writes on it."""


class RabbitRig(Rig):
    def __init__(
        self, url: str, node: RabbitNode, at_work: Running[RabbitBroker], stack: Stack
    ) -> None:
        super().__init__(at_work)
        self.url = url
        self.node = node
        self.stack = stack

    async def submit(self, queue: str, body: bytes, **properties: Any) -> None:
        await asyncio.to_thread(publisher.publish, self.url, queue, body, **properties)

    async def lose_connection(self) -> None:
        await asyncio.to_thread(self.node.ctl, "close_all_connections", "--global", "by a test")

    async def ready(self, queue: str) -> int:
        return await asyncio.to_thread(publisher.depth, self.url, queue)

    async def dead(self, queue: str) -> list[Kept]:
        return await self._kept(f"wr.v1.dead.{queue}")

    async def invalid(self, queue: str) -> list[Kept]:
        return await self._kept(f"wr.v1.invalid.{queue}")

    async def block(self) -> None:
        await asyncio.to_thread(self.node.memory_alarm, on=True)

    async def unblock(self) -> None:
        await asyncio.to_thread(self.node.memory_alarm, on=False)

    def successor(self) -> AbstractAsyncContextManager[Running[Any]]:
        return running(self.url, QUEUES, attends=True, stack=self.stack)

    async def _kept(self, queue: str) -> list[Kept]:
        return [
            Kept(
                each.body,
                {name: each.headers[name] for name in each.headers if name not in _BESIDE},
                each.properties.message_id or "",
                each.properties.content_type or "",
                each.properties.correlation_id or "",
            )
            for each in await asyncio.to_thread(publisher.drain, self.url, queue)
        ]


@asynccontextmanager
async def rabbitmq(
    request: pytest.FixtureRequest, stack: Stack = "lean"
) -> AsyncIterator[RabbitRig]:
    url: str = request.getfixturevalue("vhost_url")
    node: RabbitNode = request.getfixturevalue("node")
    async with running(url, QUEUES, attends=True, stack=stack) as at_work:
        yield RabbitRig(url, node, at_work, stack)


def through_the_library(
    request: pytest.FixtureRequest,
) -> AbstractAsyncContextManager[RabbitRig]:
    """Open the same over the AMQP library, which is the reference of our own client."""
    return rabbitmq(request, "aio-pika")
