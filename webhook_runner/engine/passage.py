"""The way of one delivery through the gate of its queue and into the crowd, and out again."""

from collections.abc import Awaitable, Callable

from webhook_runner.engine.host_slots import Entry
from webhook_runner.engine.lane import Lane
from webhook_runner.engine.limits import Crowd
from webhook_runner.policy.mixture import Host
from webhook_runner.task.url import NOWHERE

FRESH = 0.25
"""A token older than this (seconds) does not count: who were held up behind the gate would start
at once, all together. Nor does one that was taken by limits which have changed since."""


class Passage:
    """``entered``: a slot and a token were taken, for a destination that was not known yet.

    ``host`` is set once it is known, ``used`` when a request is sent.
    """

    def __init__(self, lane: Lane, crowd: Crowd, *, entered: bool) -> None:
        self.lane = lane
        self.host: Host = NOWHERE
        self.used = False
        self._crowd = crowd
        self._entered = entered
        self._entered_at = lane.gate.monotonic() if entered else 0.0
        self._era = lane.gate.era
        self._claimed = False
        self._in_crowd = False
        self._alone = False

    async def enter(self, ready: Callable[[], Awaitable[None]], *, alone: bool) -> Entry:
        """Wait for the limits, and behind them for ``ready``; say what came of it."""
        while True:
            entry = await self._enter(alone=alone)
            if entry is not Entry.ENTERED:
                return entry
            await ready()
            if self._is_fresh() or self.lane.gate.renew(self.host):
                return entry
            self._leave(unused=False)

    async def _enter(self, *, alone: bool) -> Entry:
        gate = self.lane.gate
        self._entered = self._entered and gate.claim(self.host)
        if not self._entered:
            entry = await gate.enter(self.host)
            if entry is not Entry.ENTERED:
                return entry
            self._entered, self._entered_at = True, gate.monotonic()
            self._era = gate.era
        self._claimed = True
        await gate.warn_if_dry()
        await self._crowd.enter(alone=alone)
        self._in_crowd, self._alone = True, alone
        return Entry.ENTERED

    def leave(self) -> None:
        """Give back what was taken; the token too when no request was sent. May be repeated."""
        self._leave(unused=not self.used)

    def _is_fresh(self) -> bool:
        gate = self.lane.gate
        return gate.era == self._era and gate.monotonic() - self._entered_at <= FRESH

    def _leave(self, *, unused: bool) -> None:
        if self._in_crowd:
            self._crowd.leave(alone=self._alone)
        if self._entered:
            self.lane.gate.leave(self.host if self._claimed else None, unused=unused)
        self._entered = self._in_crowd = False
