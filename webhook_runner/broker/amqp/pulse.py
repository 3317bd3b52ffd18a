"""Heartbeats of a connection: something is said in time, and a silent peer is noticed."""

import asyncio
from collections.abc import Callable

_BEATS = 4
# One less than two heartbeats have: what is counted may have begun in the middle of a beat.
_SILENT_BEATS = 2 * _BEATS - 1
_UNSAID_BEATS = _BEATS // 2


class Pulse:
    """Counts beats, of which a heartbeat has four, without a word of either side.

    Beats are counted and not seconds: whoever was stopped for a minute has not listened for one.
    The broker says something in each heartbeat; after two without a word it is taken for dead.
    """

    def __init__(
        self, heartbeat: float, say: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        self.silent = 0
        self.unsaid = 0
        self._wait = heartbeat / _BEATS
        self._say = say
        self._give_up = give_up
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Beat until ended."""
        self._timer = asyncio.get_running_loop().call_later(self._wait, self._beat)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        if self.silent >= _SILENT_BEATS:
            self._give_up()
            return
        self.silent += 1
        self.unsaid += 1
        if self.unsaid >= _UNSAID_BEATS:
            self._say()
        self.begin()
