"""A session: three connections to one host, and everything that dies with any of them."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from webhook_runner.broker.amqp.channel import Channel, Outgoing
from webhook_runner.broker.amqp.declare import Declarer
from webhook_runner.broker.amqp.faults import LostError, NackedError, ReturnedError
from webhook_runner.broker.amqp.line import Address, Connect, Line, address
from webhook_runner.broker.amqp.publisher import CHANNELS, Publisher
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.errors import BrokerUnavailableError, TopologyError
from webhook_runner.ports import Clock, Observer
from webhook_runner.settings import BrokerSettings
from webhook_runner.task.event import BrokerBlocked, BrokerUnblocked, Warned

CLOSE_TIMEOUT = 5.0
REFUSED_SECONDS = 1.0


@dataclass(slots=True)
class Surroundings:
    """What every part of a session needs to know of the world; a reload changes the topology."""

    settings: BrokerSettings
    topology: Topology
    clock: Clock
    observer: Observer
    connect: Connect


class Session:
    """Alive until ``lost``. A publish alarm must not stop acks: each duty has its connection."""

    def __init__(self, around: Surroundings, where: Address) -> None:
        self.around = around
        self.host = where.text
        self.blocked = ""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._lines: list[Line] = []

    @classmethod
    async def open(cls, around: Surroundings, servers: Sequence[str]) -> "Session":
        """Connect to one of ``servers``, tried in random order.

        Raises:
            BrokerUnavailableError: none of them can be used; says why, host by host.

        """
        problems: list[str] = []
        for server in random.sample(servers, len(servers)):
            try:
                session = cls(around, address(server, around.settings, "webhook-runner"))
                await session._open(server)
            except BrokerUnavailableError as error:
                problems.append(str(error))
            except LostError as error:
                problems.append(f"{server}: {error}")
            else:
                return session
        raise BrokerUnavailableError("; ".join(problems))

    async def _open(self, server: str) -> None:
        try:
            publishing = await self._line(server, "publish")
            self._consuming = await self._line(server, "consume")
            self._control = control = await self._line(server, "control")
            self.version = control.version
            around = self.around
            self.declarer = Declarer(
                control, lambda: around.topology, around.settings.topology, around.observer
            )
            channels = [await publishing.channel(confirms=True) for _ in range(CHANNELS)]
            for channel in channels:
                self._needs(channel, "a publishing channel")
            self.publisher = publisher = Publisher(tuple(channels), around.clock.monotonic)
            # Whoever waits for a blocked broker must see that the session is over.
            self.lost.add_done_callback(lambda _: publisher.unblock())
            self.lost.add_done_callback(lambda _: self._unblock("publish"))
        except BaseException:
            await self.close()
            raise

    async def _line(self, server: str, duty: str) -> Line:
        where = address(server, self.around.settings, f"webhook-runner {duty}")
        line = await self.around.connect(
            where,
            self.around.topology.ours,
            lambda reason: self._block(duty, reason),
            lambda: self._unblock(duty),
        )
        self._lines.append(line)
        line.on_close(lambda reason: self.fail(f"the connection to {duty} ended: {reason}"))
        return line

    async def channel(self, duty: str) -> Channel:
        """Open a channel to consume on; the session is lost when it closes. Raises LostError."""
        channel = await self._consuming.channel()
        self._needs(channel, f"the channel of {duty}")
        return channel

    async def side_channel(self) -> Channel:
        """Open a channel that may close without an end of the session. Raises LostError."""
        return await self._control.channel()

    async def publish(self, out: Outgoing) -> None:
        """Publish until it is confirmed. Raises LostError when the session ends before that."""
        while True:
            try:
                return await self.publisher.publish(out)
            except (NackedError, ReturnedError) as error:
                await self._mend(out, error)

    async def _mend(self, out: Outgoing, error: Exception) -> None:
        """Refused for certain, so it may be repeated: see that its queue is there, and wait."""
        notice = self.around.observer.notice
        notice(Warned(f"refused {out.exchange}", f"publish to {out.key} refused: {error}"))
        try:
            if isinstance(error, ReturnedError):
                await self.declarer.everything()
        except TopologyError as missing:
            notice(Warned("topology", str(missing)))
        await self.around.clock.sleep(REFUSED_SECONDS)

    def fail(self, reason: str) -> None:
        """Declare the session lost; the first reason stands."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def watch_confirms(self) -> None:
        """Give the session up when a confirm is overdue and the broker is not blocked."""
        limit = self.around.settings.confirm_timeout
        while True:
            await self.around.clock.sleep(min(1.0, limit / 4))
            if self.publisher.longest_wait() > limit:
                self.fail(f"no confirm within {limit:g} s")

    async def close(self) -> None:
        """Close all connections, waiting a few seconds at most."""
        self.fail("closed")
        closing = [asyncio.ensure_future(line.close()) for line in self._lines]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)

    def _needs(self, channel: Channel, name: str) -> None:
        channel.on_close(lambda reason: self.fail(f"{name} closed: {reason}"))

    def _block(self, duty: str, reason: str) -> None:
        if duty == "publish" and not self.blocked:
            self.blocked = reason or "blocked"
            self.publisher.block()
            self.around.observer.notice(BrokerBlocked(self.blocked))

    def _unblock(self, duty: str) -> None:
        if duty == "publish" and self.blocked:
            self.blocked = ""
            self.publisher.unblock()
            self.around.observer.notice(BrokerUnblocked())
