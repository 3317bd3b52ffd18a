"""The gate of a queue: slots and tokens; and the crowd, which all queues of the process share."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from webhook_runner.engine.first import first_of
from webhook_runner.engine.host_slots import Entry, HostSlots
from webhook_runner.policy.mixture import Host
from webhook_runner.policy.rate import TokenBucket, default_bucket
from webhook_runner.ports import Clock
from webhook_runner.settings import QueueSettings

DRY = 60.0
"""A queue whose next token is further away than this (seconds) is not consumed meanwhile."""


_NOBODY = nullcontext()


class Slots:
    """So many at once, first come first served; the number may change at any time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()

    def try_take(self) -> bool:
        if self._waiting or self.used >= self.limit:
            return False
        self.used += 1
        return True

    async def take(self) -> bool:
        """Wait for a slot. False when the waiting were turned away."""
        if self.try_take():
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.give_back()
            raise

    def give_back(self) -> None:
        self.used -= 1
        self._call_next()

    def resize(self, limit: int) -> None:
        self.limit = limit
        self._call_next()

    def turn_away(self) -> None:
        """Answer everybody who waits that there will be no slot."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(False)
        self._waiting.clear()

    def _call_next(self) -> None:
        while self._waiting and self.used < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.used += 1
                turn.set_result(True)


class Gate:
    """Slots and tokens of one queue.

    ``on_dry`` is awaited with the seconds until the next token when that is more than ``DRY``
    away, before the request that took the last one is sent: nothing more is to be fetched.
    ``era`` tells tokens of the limits in force from those of earlier ones.
    """

    def __init__(self, queue: QueueSettings, clock: Clock) -> None:
        self._clock = clock
        self.monotonic = clock.monotonic
        self.on_dry: Callable[[float], Awaitable[None]] = _carry_on
        self._rate = queue.rate, _size(queue)
        self._tokens = TokenBucket(*self._rate, clock.monotonic())
        self._slots = HostSlots(queue, lambda: self.wait() > 0)
        self._is_closed = False
        self._changed = asyncio.Event()
        self.era = 0

    @property
    def used(self) -> int:
        return self._slots.used

    @property
    def is_open(self) -> bool:
        return not self._is_closed

    def wait(self) -> float:
        """Seconds until a token is there."""
        return self._tokens.wait(self.monotonic())

    def try_enter(self) -> bool:
        """Take a slot and a token if both are there now, for a destination that is not known yet.

        ``claim`` tells it, or ``leave``, with none, that there was none.
        """
        if self._is_closed or not self._slots.try_reserve():
            return False
        now = self.monotonic()
        if self._tokens.take(now):
            return True
        self._slots.give_up()
        return False

    def claim(self, host: Host) -> bool:
        """Tell whom what was taken is for. False: it has its share, and all is given back."""
        if self._slots.claim(host, self.monotonic()):
            return True
        self._tokens.give_back()
        return False

    async def enter(self, host: Host) -> Entry:
        """Wait for a slot and a token.

        Answers ``CLOSED`` when the gate was closed, or ran dry, meanwhile, and ``SATURATED`` when
        one is not to wait here: ``back_at`` says until when. Who has entered calls
        ``warn_if_dry`` before anything else.
        """
        while not self._is_closed:
            now = self.monotonic()
            if not self._slots.try_take(host, now):
                entry = await self._slots.take(host, now)
                if entry is not Entry.ENTERED:
                    return entry
            elif self._tokens.take(now):
                return Entry.ENTERED
            if not await self._token(host):
                return Entry.CLOSED
            if not self._slots.is_over(host):
                return Entry.ENTERED
            # A limit was lowered while it waited for its token: it waits for a slot anew.
            self._tokens.give_back()
            self._slots.give_back(host)
        return Entry.CLOSED

    def renew(self, host: Host) -> bool:
        """Take another token for one that has a slot, if it may keep that and a token is there."""
        return not self._slots.is_over(host) and self._tokens.take(self.monotonic())

    async def _token(self, host: Host) -> bool:
        """Wait for a token, having a slot, which is gone with False."""
        try:
            while not self._tokens.take(self.monotonic()):
                if self.wait() > DRY or not await self._sleep(self.wait()):
                    self._slots.give_back(host)
                    return False
        except asyncio.CancelledError:
            self._slots.give_back(host)
            raise
        return True

    def note(self, host: Host) -> None:
        """Know of a destination for which there is work."""
        self._slots.note(host, self.monotonic())

    def back_at(self, host: Host) -> float:
        """Return when one that is saturated comes back (epoch seconds)."""
        now = self.monotonic()
        return self._clock.now() - now + self._slots.back_at(host, now)

    async def warn_if_dry(self) -> None:
        wait = self.wait()
        if wait > DRY:
            await self.on_dry(wait)

    def leave(self, host: Host | None, *, unused: bool = False) -> None:
        """Give the slot back; the token too when no request was sent."""
        if unused:
            self._tokens.give_back()
        if host is None:
            self._slots.give_up()
        else:
            self._slots.give_back(host)

    def reconfigure(self, queue: QueueSettings) -> None:
        self._slots.reconfigure(queue)
        rate = queue.rate, _size(queue)
        if rate != self._rate:
            self._rate = rate
            self.era += 1
            self._tokens.reconfigure(*rate, self.monotonic())
        self._wake_sleepers()

    def hold(self) -> None:
        """Let nobody get a slot; who waits for one waits on."""
        self._slots.hold()

    def close(self) -> None:
        """Turn everybody away who waits or comes."""
        self._is_closed = True
        self._slots.turn_away()
        self._wake_sleepers()

    def open(self) -> None:
        self._is_closed = False
        self._slots.free()

    async def _sleep(self, seconds: float) -> bool:
        """Sleep, but not on when the gate closes or its limits change; whether it is open."""
        await first_of(self._clock.sleep(seconds), self._changed.wait())
        return not self._is_closed

    def _wake_sleepers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Crowd:
    """All attempts of the process: at most so many, and a suspect of crashing it runs alone."""

    def __init__(self, limit: int) -> None:
        self._slots = Slots(limit)
        self._solitude = asyncio.Lock()
        self._left = asyncio.Event()
        self._suspects = 0

    @property
    def suspects(self) -> int:
        """How many suspects are in hand, running or not."""
        return self._suspects

    def meet(self, *, suspect: bool) -> AbstractContextManager[None]:
        """Know of a suspect from its arrival until its delivery is settled."""
        return self._know_of_one() if suspect else _NOBODY

    @contextmanager
    def _know_of_one(self) -> Iterator[None]:
        self._suspects += 1
        try:
            yield
        finally:
            self._suspects -= 1
            self._left.set()

    async def enter(self, *, alone: bool) -> None:
        if alone or self._solitude.locked():
            await self._solitude.acquire()
            if not alone:
                self._solitude.release()
        taken = False
        try:
            taken = await self._slots.take()
            while alone and (self._slots.used > 1 or self._suspects > 1):
                self._left.clear()
                await self._left.wait()
        except asyncio.CancelledError:
            if taken:
                self.leave(alone=alone)
            elif alone:
                self._solitude.release()
            raise

    def leave(self, *, alone: bool) -> None:
        self._slots.give_back()
        self._left.set()
        if alone:
            self._solitude.release()

    def resize(self, limit: int) -> None:
        self._slots.resize(limit)


def _size(queue: QueueSettings) -> float:
    return queue.bucket_size or default_bucket(queue.rate)


async def _carry_on(_seconds: float) -> None:
    return
