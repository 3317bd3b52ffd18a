"""What is known of each destination: asked to be left alone, its breaker, what a person decided."""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from webhook_runner.engine.destination import Destination, Standing, State, Trial
from webhook_runner.policy.breaker import Turn
from webhook_runner.policy.line_up import LineUp
from webhook_runner.policy.mixture import Host
from webhook_runner.policy.verdict import Why
from webhook_runner.ports import Clock, Observer
from webhook_runner.settings import BreakerSettings
from webhook_runner.task.event import BreakerClosed, BreakerOpened
from webhook_runner.task.notice import Notice
from webhook_runner.task.url import NOWHERE, destination_name, destination_named

DESTINATION = "destination:"
"""What the key of such a notice begins with; host and port follow."""

MOST = 10_000
"""So many destinations are remembered."""

LOOKS = 256
"""So many are looked at for one that may be forgotten."""

RETURNS = 500.0
"""Of the tasks that one destination holds back, so many come back each second."""

LEAST_WAIT = 1.0
"""Seconds that a held task waits at least while nobody knows for how long it will have to."""

PROBE_WAIT = 30.0
"""The same at most, while a probe is under way; otherwise it is ``max_open_seconds``."""


class Decree(Struct, frozen=True):
    """What a person has decided: ``open``, ``closed`` whatever happens, or "" for neither."""

    forced: str = ""


_DECREE = msgspec.json.Decoder(Decree)


def decree(host: Host, forced: str, at: float) -> Notice:
    """Return the notice that a person has decided on a destination, at ``at`` (epoch seconds)."""
    return Notice(DESTINATION + destination_name(host), at, msgspec.json.encode(Decree(forced)))


class Destinations:
    """All destinations of this process, the least recently called forgotten first.

    Times that are asked for or given are epoch seconds; within, the clock is one that never steps.
    """

    def __init__(
        self, rules: BreakerSettings, clock: Clock, observer: Observer, most: int = MOST
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._observer = observer
        self._most = most
        self._known: OrderedDict[Host, Destination] = OrderedDict()
        self._decrees: dict[Host, tuple[float, str]] = {}

    def __len__(self) -> int:
        return len(self._known)

    # -- the way of a task

    def held(self, host: Host) -> tuple[float, Why] | None:
        """Return until when, as far as that is known, and why a destination takes nothing now."""
        known = self._known.get(host)
        if known is None or known.is_calm:
            return None
        now = self._clock.monotonic()
        known.look(now)
        until, why = self._end(known, now)
        return None if until <= now else (self._clock.now() + until - now, why)

    def come_back(self, host: Host) -> float:
        """Return when one that ``held`` names a reason for is to come back (epoch seconds)."""
        known, now = self._known[host], self._clock.monotonic()
        earliest = max(self._end(known, now)[0], now + self._wait(known, now))
        if known.held is None:
            known.held = LineUp()
        return self._clock.now() - now + known.held.place(earliest, RETURNS)

    def begin(self, host: Host) -> Trial | None:
        """Begin a request, None while there may be none; ``end`` it, or ``leave`` it."""
        known = self._known.get(host)
        if known is None:
            known = self._add(host)
        else:
            self._known.move_to_end(host)
        breaker = known.breaker
        if known.is_calm:
            return Trial(known, 0 if known.forced else breaker.begin(0.0))
        now = self._clock.monotonic()
        if self._end(known, now)[0] > now:
            return None
        known.look(now)
        return Trial(known, 0 if known.forced else breaker.begin(now))

    def end(self, trial: Trial, *, well: bool | None, gone: bool = False, pause: float = 0) -> None:
        """Take note of what a request met with.

        Args:
            well: whether that speaks for the destination; None when it says nothing of it.
            gone: the destination is to be left alone for as long as a breaker is ever open.
            pause: seconds for which it asked to be left alone.

        """
        known, now = trial.destination, self._clock.monotonic()
        gone = gone and trial.era == known.breaker.era
        well = None if gone else well
        turn = known.breaker.end(trial.era, well=well, now=now, rules=self._rules)
        trial.era = 0
        if pause > 0:
            known.paused_until = max(known.paused_until, now + pause)
        if gone:
            known.breaker.open(now, self._rules.max_open_seconds)
            self._opened(known, "gone")
        elif turn is Turn.CLOSED:
            self._observer.notice(BreakerClosed(destination_name(known.host)))
        elif turn is not None:
            self._opened(known, turn.value)
        if turn or gone or pause > 0:
            known.look(now)

    def leave(self, trial: Trial) -> None:
        """Free the place of a request of which nothing was told; after ``end`` it does nothing."""
        if trial.era and not trial.destination.breaker.is_closed:
            now = self._clock.monotonic()
            trial.destination.breaker.end(trial.era, well=None, now=now, rules=self._rules)

    # -- the operator

    def reconfigure(self, rules: BreakerSettings) -> None:
        """Go by other rules; what was counted by the old ones is forgotten."""
        if rules == self._rules:
            return
        self._rules = rules
        for known in self._known.values():
            if known.breaker.is_closed or not rules.enabled:
                known.breaker.close()
                known.look(self._clock.monotonic())

    def recall(self, notice: Notice) -> None:
        """Take what a person has decided.

        Raises:
            msgspec.MsgspecError: the notice cannot be read.
            InvalidTaskError: its key names no destination.

        """
        forced = _DECREE.decode(notice.word).forced
        host = destination_named(notice.key.removeprefix(DESTINATION))
        if notice.at <= self.decreed_at(host):
            return
        self._decrees[host] = (notice.at, forced)
        known = self._known.get(host)
        if known is None:
            known = self._add(host) if forced else Destination(host)
        was_open = known.state(self._clock.monotonic()) in {State.OPEN, State.HALF_OPEN}
        self._force(known, forced)
        if forced == State.OPEN:
            self._opened(known, "request")
        elif was_open:
            self._observer.notice(BreakerClosed(destination_name(host), forced=True))

    def decreed_at(self, host: Host) -> float:
        """Return when a person has last decided on a destination (epoch seconds); 0: never."""
        return self._decrees.get(host, (0.0, ""))[0]

    def standings(self, after: Host = NOWHERE) -> Iterator[Standing]:
        """Yield how each of them stands, in their order, from the one behind ``after`` on."""
        for host in sorted(host for host in self._known if host > after):
            yield self.standing(host)

    def standing(self, host: Host) -> Standing:
        """Return how one of them stands."""
        known, now = self._known.get(host) or Destination(host), self._clock.monotonic()
        state = known.state(now)
        requests, failures = known.breaker.counts(now, self._rules)
        until = max(known.breaker.until, known.paused_until)
        told = until > now and not known.forced
        return Standing(
            name=destination_name(host),
            state=state,
            until=self._clock.now() + until - now if told else None,
            requests=requests,
            failures=failures,
            held=known.held.waiting(now) if known.held else 0,
            forced=bool(known.forced),
        )

    def counts(self) -> Mapping[str, int]:
        """Return how many destinations there are in each state."""
        now = self._clock.monotonic()
        found = Counter(known.state(now).value for known in self._known.values())
        return {state.value: found[state.value] for state in State}

    # -- within

    def _end(self, known: Destination, now: float) -> tuple[float, Why]:
        """Return until when and why nothing is sent; the past when something may be."""
        if known.forced == State.OPEN:
            return now + LEAST_WAIT, Why.BREAKER_OPEN
        breaker = known.breaker
        if known.forced or breaker.may_begin(now):
            return known.paused_until, Why.DESTINATION_PAUSED
        until = breaker.until if now < breaker.until else now + LEAST_WAIT
        return max(until, known.paused_until), Why.BREAKER_OPEN

    def _wait(self, known: Destination, now: float) -> float:
        """Return the least seconds to wait: what has lasted for long is asked about rarely."""
        if known.forced == State.OPEN:
            lasted, most = now - known.forced_since, self._rules.max_open_seconds
        else:
            lasted, most = known.breaker.probing(now) or 0.0, PROBE_WAIT
        return max(LEAST_WAIT, min(lasted, most))

    def _force(self, known: Destination, forced: str) -> None:
        now = self._clock.monotonic()
        known.breaker.close()
        known.forced, known.forced_since = forced, now
        if forced != State.OPEN:
            known.paused_until = 0.0
        known.look(now)

    def _opened(self, known: Destination, why: str) -> None:
        now = self._clock.monotonic()
        until = None if known.forced else self._clock.now() + known.breaker.until - now
        counts = known.breaker.counts(now, self._rules)
        self._observer.notice(BreakerOpened(destination_name(known.host), why, until, *counts))

    def _add(self, host: Host) -> Destination:
        if host == NOWHERE:
            return Destination(host)
        if len(self._known) >= self._most:
            self._forget_one()
        known = self._known[host] = Destination(host)
        _, forced = self._decrees.get(host, (0.0, ""))
        if forced:
            self._force(known, forced)
        return known

    def _forget_one(self) -> None:
        """Forget the one called least recently, but rather one that is calm."""
        for _ in range(min(len(self._known), LOOKS)):
            host = next(iter(self._known))
            known = self._known[host]
            known.look(self._clock.monotonic())
            if known.is_calm and not known.forced:
                break
            self._known.move_to_end(host)
        self._known.popitem(last=False)
