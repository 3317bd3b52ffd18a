"""Listening by one session: words from a queue of its own, notices from the stream."""

import asyncio
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from webhook_runner.broker.amqp.board_message import WORDS, Mark, Word, kept_of, word_of
from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.faults import ForbiddenError, LostError, MissingError
from webhook_runner.broker.amqp.session import Session
from webhook_runner.broker.amqp.topology import Binding
from webhook_runner.errors import TopologyError
from webhook_runner.ports import Listener
from webhook_runner.task.event import Warned

PREFETCH = 1000
ACK_EVERY = 200
# A delivery that is unsettled for half an hour closes the channel.
ACK_SECONDS = 0.5
WORDS_LIMIT = 10_000
# A stream that was deleted and made anew has nothing where we left off, and does not say so.
SILENT_SECONDS = 10.0
_OFFSET = "x-stream-offset"
_HOW = 'export the definitions and permissions with "webhook-runner topology" and have them set'


@dataclass(slots=True)
class Memory:
    """What outlives a session.

    Attributes:
        onward: the stream's offset to go on from; None: from its beginning.
        marks: the last mark read of each sender.
        warned: which kinds of foreign messages were told of.

    """

    onward: int | None = None
    marks: dict[str, int] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)


class Hearing:
    def __init__(self, session: Session, listener: Listener, memory: Memory) -> None:
        self._session = session
        self._listener = listener
        self._memory = memory
        self._topology = session.around.topology
        self._held: defaultdict[str, deque[Word]] = defaultdict(deque)
        self._stir = asyncio.Event()
        self._unsettled = 0
        self._latest = 0
        self._settling: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        """Hear words from now on, then read the stream from where the last session left off.

        Raises:
            LostError: the session is over.
            TopologyError: an object is missing, or the broker forbids it.

        """
        unique = uuid4().hex
        try:
            self._channel = await self._session.channel("the board")
            self._channel.on_cancel(self._cancelled)
            await self._listen(self._channel, self._topology.ear(unique))
            await self._read(self._channel, f"{self._topology.tombstones}-{unique}")
        except (ForbiddenError, MissingError) as error:
            raise TopologyError(f"cannot hear other daemons: {error}; {_HOW}") from error

    async def until(self, mark: Mark) -> None:
        """Wait until a mark has been read. Raises LostError when it does not come."""
        while self._memory.marks.get(mark.sender, 0) < mark.number:
            self._stir.clear()
            try:
                async with asyncio.timeout(SILENT_SECONDS):
                    await self._stir.wait()
            except TimeoutError:
                if self._memory.onward is None:
                    continue
                self._memory.onward = None
                text = f"{self._topology.tombstones} has nothing new: it is read from its beginning"
                raise LostError(text) from None

    async def _listen(self, channel: Channel, ear: str) -> None:
        await channel.declare_own(ear, WORDS_LIMIT)
        await channel.bind(Binding(self._topology.control, ear, WORDS))
        await channel.consume(ear, ear, PREFETCH, self._take_word, settled=True)

    async def _read(self, channel: Channel, tag: str) -> None:
        onward = self._memory.onward
        offset = "first" if onward is None else onward
        stream = self._topology.tombstones
        await channel.consume(stream, tag, PREFETCH, self._take_kept, offset=offset)

    def _cancelled(self, tag: str) -> None:
        if tag.startswith(self._topology.tombstones):
            self._memory.onward = None
        self._session.fail(f"the broker cancelled the consumer {tag}")

    def _take_kept(self, arrival: Arrival) -> None:
        offset = arrival.headers.get(_OFFSET)
        if not isinstance(offset, int):
            self._session.fail(f"the queue {self._topology.tombstones} is no stream: delete it")
            return
        self._memory.onward = offset + 1
        match kept_of(arrival):
            case None:
                self._warn(self._topology.tombstones)
            case Mark() as mark:
                self._pass(mark)
            case notice:
                self._listener.recall(notice)
        self._stir.set()
        self._settle(arrival.tag)

    def _take_word(self, arrival: Arrival) -> None:
        word = word_of(arrival)
        if word is None:
            self._warn(self._topology.control)
        elif word.after.number <= self._memory.marks.get(word.after.sender, 0):
            self._listener.hear(word.text)
        else:
            self._held[word.after.sender].append(word)

    def _pass(self, mark: Mark) -> None:
        """Note a mark, and hear the words that waited for what lies before it."""
        read = max(mark.number, self._memory.marks.get(mark.sender, 0))
        self._memory.marks[mark.sender] = read
        held = self._held.get(mark.sender)
        while held and held[0].after.number <= read:
            self._listener.hear(held.popleft().text)

    def _settle(self, tag: int) -> None:
        """Acknowledge by the hundred: the broker sends on as long as there is credit."""
        self._unsettled += 1
        self._latest = tag
        if self._unsettled >= ACK_EVERY:
            self._settle_now()
        elif self._settling is None:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(ACK_SECONDS, self._settle_now)

    def _settle_now(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        self._unsettled = 0
        with suppress(LostError):
            self._channel.ack(self._latest, before=True)

    def _warn(self, where: str) -> None:
        if where not in self._memory.warned:
            self._memory.warned.add(where)
            text = f"{where} holds messages that are not of webhook_runner; they are ignored"
            self._session.around.observer.notice(Warned(f"foreign messages in {where}", text))
