"""The port Shelf over RabbitMQ: what lies in the queues of dead letters and invalid messages."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import cast

from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.faults import LostError, MissingError
from webhook_runner.broker.amqp.keeper import SessionKeeper
from webhook_runner.broker.amqp.message import delivery_of
from webhook_runner.broker.amqp.session import Session, Surroundings
from webhook_runner.broker.amqp.walk import GIVEN_BACK_SECONDS, Walk
from webhook_runner.broker.letter import letter_of, put_aside_at
from webhook_runner.errors import BrokerUnavailableError, TopologyError, UnknownQueueError
from webhook_runner.task.notice import Aside, Depths, PutAside


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a letter is: what came, on which walk."""

    walk: Walk
    arrival: Arrival


class RabbitShelf:
    """See `webhook_runner.ports.Shelf`.

    What a walk has shown is in its hands until it ends; the broker takes it back after half an
    hour (its ``consumer_timeout``), which ends the walk with BrokerUnavailableError.
    """

    def __init__(self, around: Surroundings, keeper: SessionKeeper) -> None:
        self._around = around
        self._keeper = keeper
        self._one_walk: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._closing: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def walk(self, aside: Aside, queue: str) -> AsyncIterator[AsyncIterator[PutAside]]:
        async with (
            self._open(queue, self._name(aside, queue)) as walk,
            aclosing(self._letters(aside, queue, walk)) as letters,
        ):
            yield letters

    async def remove(self, item: PutAside) -> None:
        place = cast("Place", item.handle)
        with _told():
            place.walk.remove(place.arrival)

    async def clear(self, aside: Aside, queue: str) -> int:
        name = self._name(aside, queue)
        await self._count(queue, name)
        return await self._purge(name)

    async def depths(self, queue: str) -> Depths:
        dead, invalid = [await self._count(queue, self._name(aside, queue)) for aside in Aside]
        return Depths(await self._count(queue, queue), dead, invalid)

    async def purge(self, queue: str) -> int:
        # Without a look at the configuration it would empty whatever the broker has by that name.
        if queue not in self._around.topology.queues:
            raise UnknownQueueError(queue)
        return await self._purge(queue)

    @asynccontextmanager
    async def _open(self, queue: str, name: str) -> AsyncIterator[Walk]:
        one = self._one_walk[name]
        await one.acquire()
        try:
            there = await self._count(queue, name)
            with _told():
                session = self._session()
                walk = Walk(await session.side_channel(), name, there)
        except BaseException:
            one.release()
            raise
        try:
            yield walk
        finally:
            # Whoever walks may be cancelled again and again, and still has to give back.
            closing = asyncio.ensure_future(_close_walk(walk, session, name))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            closing.add_done_callback(lambda _: one.release())
            await asyncio.shield(closing)

    async def _letters(
        self, aside: Aside, queue: str, walk: Walk
    ) -> AsyncGenerator[PutAside, None]:
        ours = self._around.topology.ours
        with _told():
            async with aclosing(walk.arrivals()) as arrivals:
                async for each in arrivals:
                    message = delivery_of(each, queue, ours=each.exchange in ours).message
                    letter, at, place = letter_of(message), put_aside_at(message), Place(walk, each)
                    yield PutAside(aside, queue, letter, at, message, place)

    async def _purge(self, name: str) -> int:
        with _told():
            channel = await self._session().side_channel()
            try:
                return await channel.purge(name)
            except MissingError:
                return 0
            finally:
                await _close(channel)

    async def _count(self, queue: str, name: str) -> int:
        """Count what lies in ``name``, which may be there longer than the ``queue`` it is of."""
        with _told():
            count = await self._session().declarer.count(name)
        if count is None and queue not in self._around.topology.queues:
            raise UnknownQueueError(queue)
        return count or 0

    def _name(self, aside: Aside, queue: str) -> str:
        topology = self._around.topology
        return topology.dead(queue) if aside is Aside.DEAD else topology.invalid(queue)

    def _session(self) -> Session:
        session = self._keeper.session
        if session is None or session.lost.done():
            raise BrokerUnavailableError("the broker is not connected")
        return session


async def _close_walk(walk: Walk, session: Session, name: str) -> None:
    await walk.close()
    with suppress(LostError, TopologyError):
        await _until_back(session, name, walk.kept)


async def _until_back(session: Session, name: str, kept: int) -> None:
    """Wait until what was given back is counted again, unless others take it meanwhile."""
    clock = session.around.clock
    end = clock.monotonic() + GIVEN_BACK_SECONDS
    while (await session.declarer.count(name) or 0) < kept and clock.monotonic() < end:
        await clock.sleep(0.01)


async def _close(channel: Channel) -> None:
    with suppress(LostError):
        await channel.close()


@contextmanager
def _told() -> Iterator[None]:
    """Name what keeps us from an answer."""
    try:
        yield
    except (LostError, TopologyError) as error:
        raise BrokerUnavailableError(str(error)) from error
