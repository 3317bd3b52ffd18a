"""Keeps a session: connects with growing waits, tells losses once, repeats publishes after them."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from webhook_runner.broker.amqp.channel import Outgoing
from webhook_runner.broker.amqp.faults import LostError
from webhook_runner.broker.amqp.session import Session, Surroundings
from webhook_runner.errors import BrokerUnavailableError, TopologyError
from webhook_runner.task.event import BrokerConnected, BrokerLost, Warned

STILL_TRYING_SECONDS = 30.0
# A session that lived so long has earned a quick reconnect; a flapping one has not.
SETTLED_SECONDS = 30.0

Serve = Callable[[Session], Awaitable[None]]


class SessionKeeper:
    def __init__(self, around: Surroundings, servers: tuple[str, ...]) -> None:
        self._around = around
        self._servers = servers
        self._session: Session | None = None
        self._up = asyncio.Event()
        self._connected_before = False
        self._wait = around.settings.reconnect_min_seconds
        self._told_at: float | None = None

    @property
    def session(self) -> Session | None:
        """The live session, if there is one."""
        return self._session

    async def run(self, prepare: Serve, serve: Serve, stopped: Callable[[], bool]) -> None:
        """Have ``serve`` called with one session after the other until ``stopped``.

        ``serve`` returns when its session is lost; ``prepare`` belongs to connecting.

        Raises:
            TopologyError: at the first session; later ones are tried on, as work is under way.

        """
        clock = self._around.clock
        while not stopped():
            session = await self._open(prepare)
            started = clock.monotonic()
            self._use(session)
            try:
                await serve(session)
            finally:
                self._session = None
                self._up.clear()
                await session.close()
            if stopped():
                return
            if clock.monotonic() - started > SETTLED_SECONDS:
                self._wait = self._around.settings.reconnect_min_seconds
            await self._back_off(session.lost.result())

    async def connected(self) -> Session:
        """Wait for a live session."""
        while self._session is None or self._session.lost.done():
            if self._session is not None:
                self._up.clear()
            await self._up.wait()
        return self._session

    async def writable(self) -> None:
        """Wait until a publish would be taken."""
        while True:
            session = await self.connected()
            await session.publisher.flowing()
            if not session.lost.done():
                return

    async def publish(self, make: Callable[[bool], Outgoing]) -> None:
        """Publish what is made for each try, on one session after the other, until confirmed.

        ``make`` is told whether an earlier try may have come through.
        """
        again = False
        while True:
            session = await self.connected()
            try:
                return await session.publish(make(again))
            except LostError as error:
                # On a live connection nothing is repeated, so this one has to end.
                session.fail(str(error))
                again = True

    async def _open(self, prepare: Serve) -> Session:
        while True:
            try:
                return await self._try(prepare)
            except (BrokerUnavailableError, LostError) as error:
                await self._back_off(str(error))
            except TopologyError as error:
                if not self._connected_before:
                    raise
                await self._back_off(str(error))

    async def _try(self, prepare: Serve) -> Session:
        session = await Session.open(self._around, self._servers)
        try:
            await session.declarer.everything()
            await prepare(session)
        except BaseException:
            await session.close()
            raise
        return session

    def _use(self, session: Session) -> None:
        self._session = session
        self._connected_before = True
        self._told_at = None
        self._up.set()
        self._around.observer.notice(BrokerConnected(session.host, session.version))

    async def _back_off(self, reason: str) -> None:
        settings, clock = self._around.settings, self._around.clock
        wait = self._wait * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret, a jitter
        self._wait = min(self._wait * 2, settings.reconnect_max_seconds)
        if self._told_at is None:
            self._told_at = clock.monotonic()
            self._around.observer.notice(BrokerLost(reason, wait))
        elif clock.monotonic() - self._told_at >= STILL_TRYING_SECONDS:
            self._told_at = clock.monotonic()
            self._around.observer.notice(Warned(f"broker: {reason}", f"no broker yet: {reason}"))
        await clock.sleep(wait)
