"""The way of one delivery through the gate of its queue and into the crowd, and out again."""

from webhook_runner.engine.host_slots import Entry
from webhook_runner.engine.lane import Lane
from webhook_runner.engine.limits import Crowd
from webhook_runner.policy.mixture import Host
from webhook_runner.task.url import NOWHERE


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
        self._claimed = False
        self._in_crowd = False
        self._alone = False

    async def enter(self, *, alone: bool) -> Entry:
        """Wait for the limits; say what came of it."""
        gate = self.lane.gate
        self._entered = self._entered and gate.claim(self.host)
        if not self._entered:
            entry = await gate.enter(self.host)
            if entry is not Entry.ENTERED:
                return entry
            self._entered = True
        self._claimed = True
        await gate.warn_if_dry()
        await self._crowd.enter(alone=alone)
        self._in_crowd, self._alone = True, alone
        return Entry.ENTERED

    def leave(self) -> None:
        """Give back what was taken; the token too when no request was sent. May be repeated."""
        if self._in_crowd:
            self._crowd.leave(alone=self._alone)
        if self._entered:
            self.lane.gate.leave(self.host if self._claimed else None, unused=not self.used)
        self._entered = self._in_crowd = False
