"""The slots of a queue: so many at once, and so many of them for one destination."""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum

from webhook_runner.policy.line_up import LineUp
from webhook_runner.policy.mixture import Host, Mixture, share_of
from webhook_runner.policy.rate import prefetch
from webhook_runner.settings import QueueSettings

SHORTEST_AWAY = 0.5
"""Seconds that one is away at least whose destination has no slot for it."""

FEWEST_RETURNS = 20.0
"""So many come back each second at least; otherwise twice as many as get a slot."""

HOST_PART = 4
"""One destination may have waiting here this part of what the queue fetches."""

ALL_PART = 2
"""All that wait here, once more than this part, leave no room for one more of a full one."""

MEASURE_SECONDS = 10.0

MOST_AWAY = 1000
"""With so many destinations of which some are away, those that are back are forgotten."""


class Entry(Enum):
    """What becomes of one that asks for a slot."""

    ENTERED = "entered"
    CLOSED = "closed"
    SATURATED = "saturated"


class Away:
    """Those of one destination that were sent away, and how fast it takes others meanwhile."""

    __slots__ = ("_begun", "_count", "line")

    def __init__(self, share: int, now: float) -> None:
        self.line = LineUp()
        self._begun = now - 1
        self._count = float(share)

    def took(self, now: float) -> None:
        self._count += 1
        lasted = now - self._begun
        if lasted > MEASURE_SECONDS:
            self._begun, self._count = now - lasted / 2, self._count / 2

    def back_at(self, now: float) -> float:
        rate = max(FEWEST_RETURNS, 2 * self._count / (now - self._begun))
        return self.line.place(now + SHORTEST_AWAY, rate)


class HostSlots:
    """Slots that go round the destinations which have work waiting and are below their share.

    While nothing is scarce, one destination costs one look into a dictionary. ``now`` is seconds
    that never step; what is not told them goes by the last that was. Nobody is sent away while
    ``is_paced``: then it is the rate of the whole queue that has everybody wait.
    """

    def __init__(self, queue: QueueSettings, is_paced: Callable[[], bool] = bool) -> None:
        self.used = 0
        self._is_paced = is_paced
        self._used_by: dict[Host, int] = {}
        self._waiting: dict[Host, deque[asyncio.Future[Entry]]] = {}
        self._count = 0
        self._turns: dict[Host, None] = {}
        self._away: dict[Host, Away] = {}
        self._mixture = Mixture()
        self._mixed = False
        self._held = False
        self._now = 0.0
        self._take_over(queue)

    def try_reserve(self) -> bool:
        """Take a slot for a destination that is not known yet: ``claim`` tells it."""
        if self.used >= self._limit:
            return False
        self.used += 1
        return True

    def claim(self, host: Host, now: float) -> bool:
        """Tell the destination of a reserved slot; False: it has its share, the slot is gone."""
        self.used -= 1
        if self.try_take(host, now):
            return True
        self._call_next()
        return False

    def give_up(self) -> None:
        """Give a slot back that was reserved for nobody yet."""
        self.used -= 1
        self._call_next()

    def try_take(self, host: Host, now: float) -> bool:
        self.note(host, now)
        used = self._used_by.get(host, 0)
        if self.used >= self._limit or used >= self._share or host in self._waiting:
            return False
        self._grant(host, used)
        return True

    async def take(self, host: Host, now: float) -> Entry:
        """Wait for a slot; or be sent away, for others shall be fetched."""
        if self.try_take(host, now):
            return Entry.ENTERED
        if self._is_saturated(host, len(self._waiting.get(host, ()))):
            return Entry.SATURATED
        turn: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host, deque()).append(turn)
        self._count += 1
        self._enlist(host)
        self._call_next()
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.done() or turn.cancelled():
                self._withdraw(host, turn)
            elif turn.result() is Entry.ENTERED:
                self.give_back(host)
            raise

    def give_back(self, host: Host) -> None:
        used = self._used_by[host] - 1
        if used:
            self._used_by[host] = used
        else:
            del self._used_by[host]
        self.used -= 1
        if self._waiting:
            self._enlist(host)
            self._call_next()
            self._trim(host)

    def is_over(self, host: Host) -> bool:
        """Tell whether more slots are taken, or by this destination, than there are now."""
        return self.used > self._limit or self._used_by.get(host, 0) > self._share

    def back_at(self, host: Host, now: float) -> float:
        """Return when one that is saturated shall come back."""
        away = self._away.get(host)
        if away is None:
            if len(self._away) >= MOST_AWAY:
                self._away = {
                    h: each for h, each in self._away.items() if not each.line.is_over(now)
                }
            away = self._away[host] = Away(self._share, now)
        return away.back_at(now)

    def reconfigure(self, queue: QueueSettings) -> None:
        self._take_over(queue)
        self._divide()

    def hold(self) -> None:
        """Let nobody get a slot; who waits for one waits on."""
        self._held, self._limit = True, 0

    def free(self) -> None:
        """Take ``hold`` back."""
        self._held, self._limit = False, self._concurrency
        self._call_next()

    def turn_away(self) -> None:
        """Answer everybody who waits that there will be no slot."""
        for line in self._waiting.values():
            for turn in line:
                _answer(turn, Entry.CLOSED)
        self._waiting.clear()
        self._turns.clear()
        self._count = 0

    def _take_over(self, queue: QueueSettings) -> None:
        self._concurrency = queue.concurrency
        self._limit = 0 if self._held else queue.concurrency
        self._per_host = queue.per_host_concurrency
        self._fetched = prefetch(queue.concurrency, queue.rate)
        self._share = share_of(self._concurrency, self._per_host, mixed=False)

    def note(self, host: Host, now: float) -> None:
        """Know of a destination for which there is work."""
        self._now = now
        if self._mixture.note(host, now) is not self._mixed:
            self._divide()

    def _divide(self) -> None:
        """Give every destination its share anew; who waits for one that is full now may leave."""
        self._mixed = self._mixture.is_mixed(self._now)
        self._share = share_of(self._concurrency, self._per_host, mixed=self._mixed)
        self._turns.clear()
        for host in tuple(self._waiting):
            self._enlist(host)
            self._trim(host)
        self._call_next()

    def _trim(self, host: Host) -> None:
        """Send away who came while that was not to be, and is too many now."""
        line = self._waiting.get(host)
        while line and self._is_saturated(host, len(line) - 1):
            self._count -= 1
            _answer(line.pop(), Entry.SATURATED)
        if line is not None and not line:
            del self._waiting[host]
            self._turns.pop(host, None)

    def _is_saturated(self, host: Host, waiting: int) -> bool:
        """Tell whether one more is too many, when so many of its destination wait already."""
        if not self._mixed or self._used_by.get(host, 0) < self._share:
            return False
        full = waiting >= self._fetched // HOST_PART
        full = full or (waiting > 0 and self._count >= self._fetched // ALL_PART)
        return full and not self._is_paced()

    def _grant(self, host: Host, used: int) -> None:
        self.used += 1
        self._used_by[host] = used + 1
        if self._away:
            self._watch(host)

    def _watch(self, host: Host) -> None:
        away, now = self._away.get(host), self._now
        if away is not None and away.line.is_over(now):
            del self._away[host]
        elif away is not None:
            away.took(now)

    def _enlist(self, host: Host) -> None:
        """Let a destination have its turn if it has work waiting and is below its share."""
        if host in self._waiting and self._used_by.get(host, 0) < self._share:
            self._turns.setdefault(host)

    def _call_next(self) -> None:
        while self._turns and self.used < self._limit:
            host = next(iter(self._turns))
            del self._turns[host]
            turn = self._first(host)
            if turn is not None:
                self._grant(host, self._used_by.get(host, 0))
                turn.set_result(Entry.ENTERED)
            self._enlist(host)

    def _first(self, host: Host) -> "asyncio.Future[Entry] | None":
        line = self._waiting[host]
        turn = line.popleft()
        self._count -= 1
        if not line:
            del self._waiting[host]
        return None if turn.done() else turn

    def _withdraw(self, host: Host, turn: "asyncio.Future[Entry]") -> None:
        line = self._waiting.get(host)
        if line is not None and turn in line:
            line.remove(turn)
            self._count -= 1
            if not line:
                del self._waiting[host]
                self._turns.pop(host, None)


def _answer(turn: "asyncio.Future[Entry]", entry: Entry) -> None:
    if not turn.done():
        turn.set_result(entry)
