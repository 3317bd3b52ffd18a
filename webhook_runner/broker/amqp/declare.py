"""Make the broker's objects be there: probe, declare, adopt or verify, and say what differs."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from operator import methodcaller
from typing import Literal

from webhook_runner.broker.amqp.channel import Channel
from webhook_runner.broker.amqp.faults import DiffersError, ForbiddenError, LostError, MissingError
from webhook_runner.broker.amqp.line import Line
from webhook_runner.broker.amqp.topology import Queue, Topology
from webhook_runner.errors import TopologyError
from webhook_runner.ports import Observer
from webhook_runner.task.event import Warned

Mode = Literal["declare", "verify", "none"]

# RabbitMQ 3.10.8 killed within a second of declaring a quorum queue loses what it confirmed into
# it. The coarse levels are declared by the first task that needs one: that task can wait. What
# is declared at the very first start cannot, and carries nothing yet.
SETTLING_SECONDS = 2.0

_TYPE = "x-queue-type"
_EXPORT = 'export the definitions with "webhook-runner topology" and have them imported'


class Declarer:
    """Works on throw-away channels of the control connection: a wrong guess closes a channel."""

    def __init__(
        self, line: Line, topology: Callable[[], Topology], mode: Mode, observer: Observer
    ) -> None:
        self._line = line
        self._current = topology
        self._mode = mode
        self._observer = observer
        self._probe: Channel | None = None
        # A refusal closes the channel under whoever else is using it.
        self._one = asyncio.Lock()

    @property
    def _topology(self) -> Topology:
        return self._current()

    async def count(self, queue: str) -> int | None:
        """Return how many messages are ready in ``queue``; None when there is no such queue.

        Raises:
            LostError: the connection is gone.
            TopologyError: the broker forbids asking.

        """
        try:
            async with self._one:
                return await (await self._channel()).count(queue)
        except MissingError:
            return None
        except ForbiddenError as error:
            raise TopologyError(f"queue {queue}: {error}") from error

    async def everything(self) -> None:
        """Make the exchanges and all queues but the slots be there. Raises TopologyError."""
        if self._mode == "none":
            return
        await self._exchanges()
        for name in self._topology.queues:
            await self.work_queue(name)
        await self.queues(self._topology.own_queues())
        await self.level(0)

    async def board(self) -> None:
        """Make what daemons tell each other by be there. Raises TopologyError."""
        if self._mode != "none":
            await self._exchanges()
            await self.queues((self._topology.notices(),))

    async def work_queue(self, name: str) -> None:
        """Declare a configured queue, or adopt the one that exists, with a warning if it differs.

        Raises:
            TopologyError: it is missing and not ours to declare, or the broker forbids it.

        """
        queue = self._topology.work_queue(name)
        if self._mode != "declare":
            await self.queues((queue,))
        elif await self.count(name) is None:
            await self._declare(queue)
        else:
            await self._compare(queue)
            await self._bind(queue)

    async def queues(self, queues: Iterable[Queue]) -> None:
        """Make queues that only we use be there. Raises TopologyError."""
        for queue in queues:
            if self._mode == "none" or await self.count(queue.name) is not None:
                continue
            if self._mode == "verify":
                raise TopologyError(f"queue {queue.name} is missing: {_EXPORT}")
            await self._declare(queue)

    async def level(self, level: int) -> None:
        """Make a ring of the wheel be there. Raises TopologyError."""
        ring = self._topology.level(level)
        if self._mode == "verify":
            await self.queues(ring)
        elif self._mode == "declare" and await self.count(ring[-1].name) is None:
            for queue in ring:
                await self._declare(queue)
            await asyncio.sleep(SETTLING_SECONDS if level else 0.0)

    async def _exchanges(self) -> None:
        for exchange in self._topology.exchanges():
            try:
                async with self._one:
                    await (await self._channel()).declare_exchange(exchange, passive=True)
            except MissingError:
                if self._mode == "verify":
                    raise TopologyError(f"exchange {exchange.name} is missing: {_EXPORT}") from None
                await self._act(
                    f"declare exchange {exchange.name}",
                    methodcaller("declare_exchange", exchange),
                )

    async def _declare(self, queue: Queue) -> None:
        try:
            await self._act(f"declare queue {queue.name}", methodcaller("declare_queue", queue))
        except DiffersError as error:
            # Another process, of another version, was faster.
            self._warn(queue.name, error)
        await self._bind(queue)

    async def _bind(self, queue: Queue) -> None:
        for binding in queue.bindings:
            await self._act(
                f"bind queue {queue.name} to exchange {binding.exchange}",
                methodcaller("bind", binding),
            )

    async def _compare(self, queue: Queue) -> None:
        """Try the declaration: the broker's refusal names a property that differs."""
        bare = Queue(queue.name, {_TYPE: queue.arguments[_TYPE]})
        whole = await self._refusal(queue)
        if whole is not None:
            # The type says more than any other property, but the broker compares it last.
            kind = await self._refusal(bare)
            self._warn(queue.name, kind if kind is not None and _TYPE in str(kind) else whole)

    async def _refusal(self, queue: Queue) -> LostError | None:
        try:
            async with self._one:
                await (await self._channel()).declare_queue(queue)
        except (DiffersError, ForbiddenError) as error:
            return error
        return None

    def _warn(self, name: str, error: LostError) -> None:
        self._observer.notice(
            Warned(
                about=f"queue {name} differs",
                text=f"queue {name} is used as it is: {difference(str(error))}",
            )
        )

    async def _act(self, what: str, action: Callable[[Channel], Awaitable[None]]) -> None:
        try:
            async with self._one:
                await action(await self._channel())
        except ForbiddenError as error:
            raise TopologyError(
                f'cannot {what}: {error}; grant it, or {_EXPORT} and set topology = "verify"'
            ) from error

    async def _channel(self) -> Channel:
        if self._probe is None or self._probe.is_closed:
            self._probe = await self._line.channel()
        return self._probe


def difference(refusal: str) -> str:
    """Shorten the broker's text to what matters: which argument, what it is, what we wanted."""
    found = re.search(r"inequivalent arg '([^']+)'.*received (.*) but current is (.*)$", refusal)
    if found is None:
        return refusal
    name, wanted, current = found.groups()
    return f"its {name} is {current}, ours would be {wanted}"
