"""The port Board over RabbitMQ: notices in a stream, words to a queue of each daemon."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

from webhook_runner.broker.amqp.board_message import (
    Mark,
    Word,
    mark_message,
    notice_message,
    word_message,
)
from webhook_runner.broker.amqp.channel import Outgoing
from webhook_runner.broker.amqp.faults import LostError, NackedError, ReturnedError
from webhook_runner.broker.amqp.hearing import Hearing, Memory
from webhook_runner.broker.amqp.keeper import SessionKeeper
from webhook_runner.broker.amqp.session import Session, Surroundings
from webhook_runner.ports import Listener
from webhook_runner.task.notice import Notice


class RabbitBoard:
    """See `webhook_runner.ports.Board`. With no listener it does nothing unasked."""

    def __init__(self, around: Surroundings, keeper: SessionKeeper) -> None:
        self._around = around
        self._keeper = keeper
        self._name = uuid4().hex
        self._listener: Listener | None = None
        self._memory = Memory()
        self._hearing: Hearing | None = None
        self._recalled = asyncio.Event()
        self._recalled.set()
        self._number = 0
        self._behind = Mark(self._name, 0)
        self._posted = 0
        self._marked = 0
        self._one_call = asyncio.Lock()

    @property
    def is_recalled(self) -> bool:
        return self._recalled.is_set()

    def attend(self, listener: Listener) -> None:
        self._listener = listener
        self._recalled.clear()
        self._around.topology = replace(self._around.topology, board=True)

    async def recalled(self) -> None:
        await self._recalled.wait()

    async def begin(self, session: Session) -> None:
        """Listen by a new session. Raises LostError and TopologyError."""
        if self._listener is not None:
            self._recalled.clear()
            self._hearing = Hearing(session, self._listener, self._memory)
            await self._hearing.begin()

    async def run(self, session: Session) -> None:
        """Wait for the end of what was kept when ``session`` had begun. Raises LostError."""
        if self._hearing is not None:
            mark = self._next_mark()
            await session.publish(mark_message(mark, self._around.topology))
            await self._hearing.until(mark)
            self._recalled.set()
            session.lost.add_done_callback(lambda _: self._recalled.clear())

    async def post(self, notices: Sequence[Notice]) -> None:
        await self._be_there()
        topology = self._around.topology
        await asyncio.gather(*(self._publish(notice_message(each, topology)) for each in notices))
        self._posted += len(notices)

    async def call(self, word: bytes) -> None:
        await self._be_there()
        async with self._one_call:
            after = await self._mark_posts()
            out = word_message(Word(after, word), self._around.topology)
            # Nobody hears it: it was said.
            with suppress(ReturnedError):
                await self._say(out)

    async def _mark_posts(self) -> Mark:
        """Have a mark behind what was posted, so that a word can say what it comes after."""
        posted = self._posted
        if posted != self._marked:
            mark = self._next_mark()
            await self._publish(mark_message(mark, self._around.topology))
            self._marked, self._behind = posted, mark
        return self._behind

    def _next_mark(self) -> Mark:
        self._number += 1
        return Mark(self._name, self._number)

    async def _publish(self, out: Outgoing) -> None:
        await self._keeper.publish(lambda _: out)

    async def _say(self, out: Outgoing) -> None:
        """Publish until it is confirmed. Raises ReturnedError when nobody listens."""
        while True:
            session = await self._keeper.connected()
            try:
                return await session.publisher.publish(out)
            except (LostError, NackedError) as error:
                session.fail(str(error))

    async def _be_there(self) -> None:
        """Have the board declared though nobody listens here. Raises TopologyError."""
        if not self._around.topology.board:
            self._around.topology = replace(self._around.topology, board=True)
            session = await self._keeper.connected()
            await session.declarer.board()
