"""Engines that share a RabbitMQ and a store, as daemons on several machines do."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

from tests.parts.running_broker import Notes, WallClock, until
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.engine.control import Control
from webhook_runner.engine.journal import Journal
from webhook_runner.engine.queues import Queues
from webhook_runner.observe.fanout import Fanout
from webhook_runner.ports import Store
from webhook_runner.settings import EgressSettings, QueueSettings, Settings

_NUMBERS = count(1)


class Member:
    """One daemon's engine with its own connections."""

    def __init__(
        self, url: str, base_url: str, queues: Mapping[str, QueueSettings], store: Store
    ) -> None:
        settings = Settings(server=url, base_url=base_url, queues=queues)
        clock = WallClock()
        self.name = f"member-{next(_NUMBERS)}"
        self.notes = Notes()
        observer = Fanout(self.notes)
        if store.state().kind != "none":
            observer.join(Journal(store, clock))
        self.broker = RabbitBroker(settings.broker, (url,), tuple(queues), clock, observer)
        self.dispatcher = HttpDispatcher(EgressSettings())
        self.engine = Queues(
            settings,
            self.broker,
            store,
            self.dispatcher,
            observer,
            clock,
            lambda: 0.0,
            lambda: f"made-{self.name}-{next(_NUMBERS)}",
            self.dispatcher.configure,
        )
        self.control = Control(
            self.name, self.engine, self.broker, store, observer, clock, is_shared=True
        )
        self.broker.attend(self.control.hearing)
        observer.join(self.control.fellows)

    async def accept(self, tasks: Sequence[Mapping[str, object]]) -> None:
        """Take tasks, and see that all are kept."""
        bodies = [json.dumps(task).encode() for task in tasks]
        answers = await self.engine.intake.accept_many(bodies)
        assert not [each for each in answers if isinstance(each, Exception)]

    async def heed(self) -> None:
        turned = self.engine.steering.turned
        while True:
            await turned.wait()
            turned.clear()
            await self.engine.heed_steering()


@asynccontextmanager
async def at_work(member: Member) -> AsyncIterator[Member]:
    """Let it work; at the end it drains as a daemon does."""
    works = (member.broker.run(), member.control.run(), member.heed(), member.engine.start())
    parts = [asyncio.create_task(work) for work in works]
    queues = frozenset(member.engine.consumers)
    await until(lambda: member.broker.state().consuming >= queues or _held(member), "consuming")
    try:
        yield member
    finally:
        hurry = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, hurry.set)
        await member.engine.drain(hurry)
        await member.control.leave()
        await member.broker.drain()
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        await member.dispatcher.close()


@asynccontextmanager
async def company(members: Sequence[Member]) -> AsyncIterator[Sequence[Member]]:
    """Let them work, each knowing of all the others."""
    async with AsyncExitStack() as stack:
        for member in members:
            await stack.enter_async_context(at_work(member))
        names = {member.name for member in members}
        await until(
            lambda: all(member.control.fellows.members == names for member in members), "acquainted"
        )
        for member in members:
            member.control.fellows._acquainted_after = 0.0  # nobody else will come
        yield members


def _held(member: Member) -> bool:
    conditions = (each.condition(consumed=True) for each in member.engine.consumers.values())
    return member.broker.state().connected and set(conditions) == {"paused by request"}
