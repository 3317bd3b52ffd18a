"""Is a destination well enough to be called? Requests and failures of a window open its breaker."""

from enum import StrEnum

from webhook_runner.policy.answer import is_success
from webhook_runner.settings import BreakerSettings, QueueSettings
from webhook_runner.task.outcome import Outcome, Responded, TimedOut, Trouble, Unreachable

SLICES = 12
"""The window moves on in so many steps: what it counts is at most a window old."""

PROBES = 2
"""So many probes, one after the other, must succeed before the breaker is closed."""

_TOO_MANY = 429
_SERVERS = 500
_GONE = 410
_OURS = frozenset({Trouble.RESOURCE, Trouble.INTERNAL})


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Turn(StrEnum):
    """What the end of a request did to a breaker."""

    OPENED = "failures"
    REOPENED = "probe_failed"
    CLOSED = "closed"


def is_well(outcome: Outcome, queue: QueueSettings) -> bool | None:
    """Tell whether an outcome speaks for its destination; None when it says nothing of it."""
    match outcome:
        case Responded(status=status):
            ill = status >= _SERVERS or status == _TOO_MANY
            return not ill or is_success(outcome, queue)
        case TimedOut():
            return False
        case Unreachable(trouble=trouble):
            return None if trouble in _OURS else False
        case _:
            return None


def is_gone(outcome: Outcome, queue: QueueSettings) -> bool:
    """Tell whether the destination says that it is gone, and its queue takes that for all of it."""
    return queue.gone_disables and isinstance(outcome, Responded) and outcome.status == _GONE


class Breaker:
    """The breaker of one destination, told the time in seconds of a clock that never steps.

    A request is begun with ``begin`` and ended, with the number that it gave, by ``end``. What
    began before the breaker last turned is not counted: it tells of another time.
    """

    __slots__ = (
        "_done",
        "_ends",
        "_era",
        "_failures",
        "_index",
        "_open_for",
        "_past",
        "_past_failures",
        "_past_requests",
        "_probe_since",
        "_requests",
        "_until",
    )

    def __init__(self) -> None:
        self._era = 1
        self._open_for = 0.0
        self._until = 0.0
        self._probe_since: float | None = None
        self._done = 0
        self._index = -1
        self._ends = 0.0
        self._requests = self._failures = 0
        self._past_requests = self._past_failures = 0
        self._past: list[tuple[int, int, int]] = []

    @property
    def is_closed(self) -> bool:
        return not self._open_for

    @property
    def era(self) -> int:
        """The number of requests that are begun now, and counted when they end."""
        return self._era

    @property
    def until(self) -> float:
        """When it may be half-open; 0 while it is closed."""
        return self._until

    def state(self, now: float) -> BreakerState:
        if not self._open_for:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._until else BreakerState.HALF_OPEN

    def probing(self, now: float) -> float | None:
        """For how many seconds a probe has been under way, None when there is none."""
        return None if self._probe_since is None else now - self._probe_since

    def counts(self, now: float, rules: BreakerSettings) -> tuple[int, int]:
        """Return the requests and the failures within the window."""
        self._move_on(now, rules)
        return self._requests + self._past_requests, self._failures + self._past_failures

    def may_begin(self, now: float) -> bool:
        return not self._open_for or (now >= self._until and self._probe_since is None)

    def begin(self, now: float) -> int:
        """Begin a request, which ``may_begin`` allows; while half-open it is the probe."""
        if self._open_for:
            self._probe_since = now
        return self._era

    def end(
        self, era: int, *, well: bool | None, now: float, rules: BreakerSettings
    ) -> Turn | None:
        """End a request; None for ``well`` when it met nothing that tells of the destination."""
        if era != self._era:
            return None
        if self._open_for:
            self._probe_since = None
            return None if well is None else self._probed(well=well, now=now, rules=rules)
        if well is None or not rules.enabled:
            return None
        return self._count(well=well, now=now, rules=rules)

    def open(self, now: float, seconds: float) -> None:
        """Let no request begin for some seconds, and then one at a time."""
        self._era += 1
        self._open_for, self._until = seconds, now + seconds
        self._probe_since, self._done = None, 0

    def close(self) -> None:
        """Begin anew, as if there had been no requests."""
        self._era += 1
        self._open_for = self._until = 0.0
        self._probe_since, self._done = None, 0
        self._forget()

    def _probed(self, *, well: bool, now: float, rules: BreakerSettings) -> Turn | None:
        if not well:
            self.open(now, min(2 * self._open_for, rules.max_open_seconds))
            return Turn.REOPENED
        self._done += 1
        if self._done < PROBES:
            return None
        self.close()
        return Turn.CLOSED

    def _count(self, *, well: bool, now: float, rules: BreakerSettings) -> Turn | None:
        self._move_on(now, rules)
        self._requests += 1
        self._failures += not well
        failures = self._failures + self._past_failures
        requests = self._requests + self._past_requests
        if not failures or requests < rules.min_requests:
            return None
        if failures < rules.failure_ratio * requests:
            return None
        self.open(now, rules.open_seconds)
        return Turn.OPENED

    def _move_on(self, now: float, rules: BreakerSettings) -> None:
        """Let what is older than the window out of the counts."""
        if now < self._ends:
            return
        length = rules.window_seconds / SLICES
        index = int(now / length)
        if self._requests:
            self._past.append((self._index, self._requests, self._failures))
            self._past_requests += self._requests
            self._past_failures += self._failures
            self._requests = self._failures = 0
        self._index, self._ends = index, (index + 1) * length
        while self._past and self._past[0][0] <= index - SLICES:
            _, requests, failures = self._past.pop(0)
            self._past_requests -= requests
            self._past_failures -= failures

    def _forget(self) -> None:
        self._requests = self._failures = 0
        self._past_requests = self._past_failures = 0
        self._past.clear()
        self._ends = 0.0
