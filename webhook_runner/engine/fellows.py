"""The daemons that share this one's broker, and what they have in hand of a task.

Only when each of them has said that it has none is it true that no request of it will start.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from webhook_runner.engine.first import first_of
from webhook_runner.engine.holdings import Holdings, Said
from webhook_runner.engine.inflight import Run
from webhook_runner.errors import BrokerUnavailableError
from webhook_runner.ports import Board, Clock
from webhook_runner.task.event import BrokerConnected, Event
from webhook_runner.task.notice import Notice

HELLO_SECONDS = 5.0
FORGOTTEN_SECONDS = 30.0

ACQUAINTED_SECONDS = 6.0
"""So long after its own hello a daemon has heard one of everybody else who is there."""

PATIENCE = 2.0
"""Seconds that an answer is waited for."""

GOODBYE_SECONDS = 1.0

POST_SECONDS = 5.0
"""Seconds that the broker may take to keep a notice, or to pass a word on."""


class Hello(Struct, frozen=True, tag="hello"):
    of: str


class Goodbye(Struct, frozen=True, tag="goodbye"):
    of: str


class Ask(Struct, frozen=True, tag="ask"):
    """The question what others have of these tasks."""

    of: str
    number: int
    ids: list[str]


class Answer(Struct, frozen=True, tag="answer"):
    """What ``of`` has; a task that is not named is absent. One that is running is told again."""

    of: str
    to: str
    number: int
    said: dict[str, int]


Spoken = Hello | Goodbye | Ask | Answer

_SPOKEN = msgspec.json.Decoder(Spoken)


class Question:
    """An ask of ours, and what was answered so far."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self._expected: frozenset[str] | None = None
        self._answered: set[str] = set()
        self._said: dict[str, dict[str, Said]] = {}
        self._running: set[tuple[str, str]] = set()

    def begin(self, members: frozenset[str]) -> None:
        """Note who must answer: whoever was known when the ask had come to everybody."""
        self._expected = members
        self._check()

    def take(self, member: str, said: dict[str, Said]) -> None:
        self._answered.add(member)
        for name, word in said.items():
            self._said.setdefault(name, {})[member] = word
            note = self._running.add if word is Said.RUNNING else self._running.discard
            note((name, member))
        self._check()

    def told(self, name: str, *, acquainted: bool) -> Said:
        """Return what is known of a task by now."""
        words = {*self._said.get(name, {}).values(), Said.ABSENT}
        if not acquainted or self._expected is None or self._expected - self._answered:
            words.discard(Said.ABSENT)
            words.add(Said.UNSURE)
        if Said.CANCELLED in words:
            words.discard(Said.UNSURE)  # it was found, and will not be carried out
        return max(words, key=lambda each: each.value)

    def _check(self) -> None:
        if self._expected is not None and self._expected <= self._answered and not self._running:
            self.done.set()


class Fellows:
    """Who else is there, and what they say. Implements ports.Observer, to see reconnects.

    ``acquainted_after`` is 0 for a broker that no other daemon can share.
    """

    hears = (BrokerConnected,)

    def __init__(
        self,
        name: str,
        board: Board,
        holdings: Holdings,
        clock: Clock,
        *,
        acquainted_after: float = ACQUAINTED_SECONDS,
    ) -> None:
        self._name = name
        self._board = board
        self._holdings = holdings
        self._clock = clock
        self._acquainted_after = acquainted_after
        self._heard: dict[str, float] = {}
        self._since: float | None = None
        self._questions: dict[int, Question] = {}
        self._asked = 0
        self._speaking: set[asyncio.Task[None]] = set()
        self._greet = asyncio.Event()
        self._left = False

    @property
    def members(self) -> frozenset[str]:
        """The daemons heard of lately, this one included."""
        oldest = self._clock.monotonic() - FORGOTTEN_SECONDS
        self._heard = {name: at for name, at in self._heard.items() if at >= oldest}
        return frozenset({*self._heard, self._name})

    @property
    def is_acquainted(self) -> bool:
        """Whether it has heard of everybody who is there."""
        since = self._since
        return since is not None and self._clock.monotonic() - since >= self._acquainted_after

    def notice(self, event: Event) -> None:
        """Greet anew after a connection was made: others may have come meanwhile."""
        if isinstance(event, BrokerConnected):
            self._since = None
            self._greet.set()

    async def run(self) -> None:
        """Say hello now and then, until cancelled."""
        try:
            while True:
                await self._board.recalled()
                self._greet.clear()
                if not self._left:
                    await self._say(Hello(self._name))
                await first_of(self._clock.sleep(HELLO_SECONDS), self._greet.wait())
        finally:
            for speaking in self._speaking:
                speaking.cancel()

    async def leave(self) -> None:
        """Tell that nothing more will be in hand here."""
        self._left = True
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._say(Goodbye(self._name))

    def farewell(self, name: str) -> None:
        """Tell everybody that a member which can say nothing any more has nothing in hand."""
        self._speak(self._say(Goodbye(name)))

    async def post(self, notices: Sequence[Notice]) -> None:
        """Have notices kept. Raises BrokerUnavailableError."""
        try:
            async with asyncio.timeout(POST_SECONDS):
                await self._board.post(notices)
        except TimeoutError:
            text = f"not confirmed by the broker within {POST_SECONDS:g} s"
            raise BrokerUnavailableError(text) from None

    async def ask(self, ids: Sequence[str]) -> dict[str, Said]:
        """Ask everybody what they have of these tasks; waits ``PATIENCE`` for what is running."""
        self._asked += 1
        number, question = self._asked, Question()
        self._questions[number] = question
        asking = asyncio.ensure_future(self._say(Ask(self._name, number, list(ids))))
        try:
            await first_of(self._clock.sleep(PATIENCE), question.done.wait())
        finally:
            asking.cancel()
            del self._questions[number]
        return {name: question.told(name, acquainted=self.is_acquainted) for name in ids}

    def hear(self, word: bytes) -> None:
        """Take a word. Raises msgspec.MsgspecError when it cannot be read."""
        spoken: Spoken = _SPOKEN.decode(word)
        match spoken:
            case Hello(of=member):
                self._meet(member)
            case Goodbye(of=member):
                self._heard.pop(member, None)
            case Ask() as ask:
                self._answer(ask)
            case Answer(of=member, to=asker, number=number, said=said):
                if asker == self._name and number in self._questions:
                    words = {name: Said(value) for name, value in said.items()}
                    self._questions[number].take(member, words)

    def _meet(self, member: str) -> None:
        now = self._clock.monotonic()
        if member == self._name:
            self._since = now if self._since is None else self._since
        elif member not in self._heard and not self._left:
            self._speak(self._say(Hello(self._name)))  # it does not know of us either
        self._heard[member] = now

    def _answer(self, ask: Ask) -> None:
        said, pending = self._holdings.look(ask.ids)
        question = self._questions.get(ask.number) if ask.of == self._name else None
        if question is not None:
            question.begin(self.members)
        self._tell(ask, said)
        if pending:
            self._speak(self._tell_later(ask, pending))

    def _tell(self, ask: Ask, said: dict[str, Said]) -> None:
        if ask.of == self._name:
            if ask.number in self._questions:
                self._questions[ask.number].take(self._name, said)
            return
        words = {name: word.value for name, word in said.items()}
        self._speak(self._say(Answer(self._name, ask.of, ask.number, words)))

    async def _tell_later(self, ask: Ask, pending: list[Run]) -> None:
        said: dict[str, Said] = {}
        for run in pending:
            await run.over()
            self._holdings.add(said, run)
        self._tell(ask, said)

    def spread(self, notice: Notice) -> None:
        """Post a notice that this daemon knows of already, when it can be posted."""
        self._speak(self._spread(notice))

    async def _spread(self, notice: Notice) -> None:
        with suppress(BrokerUnavailableError):
            await self.post([notice])

    async def _say(self, word: Spoken) -> None:
        with suppress(BrokerUnavailableError):  # who waits for it will do without
            await self._board.call(msgspec.json.encode(word))

    def _speak(self, saying: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(saying)
        self._speaking.add(task)
        task.add_done_callback(self._speaking.discard)
