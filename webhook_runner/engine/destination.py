"""One destination: how it stands, and a request to it."""

from dataclasses import dataclass
from enum import StrEnum

from webhook_runner.policy.breaker import Breaker
from webhook_runner.policy.line_up import LineUp
from webhook_runner.policy.mixture import Host


class State(StrEnum):
    """How a destination stands, as a person sees it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a destination stands with this daemon.

    Attributes:
        name: its host and port, as in ``example.com:443`` or ``[::1]:80``.
        until: when it is called again (epoch seconds); None: now, or nobody knows.
        requests, failures: within the window of the breaker.
        held: tasks that were sent away for its sake and have not come back yet.
        forced: a person has decided on its state.

    """

    name: str
    state: State
    until: float | None
    requests: int
    failures: int
    held: int
    forced: bool


_GRAVITY = (State.CLOSED, State.PAUSED, State.HALF_OPEN, State.OPEN)


def together(one: Standing, other: Standing) -> Standing:
    """Return how a destination stands with two processes: as with the one that calls it less."""
    graver = max(one, other, key=lambda each: _GRAVITY.index(each.state))
    untils = [each.until for each in (one, other) if each.until is not None]
    return Standing(
        name=one.name,
        state=graver.state,
        until=max(untils, default=None),
        requests=one.requests + other.requests,
        failures=one.failures + other.failures,
        held=one.held + other.held,
        forced=one.forced or other.forced,
    )


class Destination:
    """One host and port. ``is_calm``: nothing keeps requests from it."""

    __slots__ = ("breaker", "forced", "forced_since", "held", "host", "is_calm", "paused_until")

    def __init__(self, host: Host) -> None:
        self.host = host
        self.breaker = Breaker()
        self.forced = ""
        self.forced_since = 0.0
        self.paused_until = 0.0
        self.held: LineUp | None = None  # few have one: ten thousand of them would be heavy
        self.is_calm = True

    def look(self, now: float) -> None:
        """Find out anew whether it is calm; a pause that is over is forgotten."""
        if self.paused_until <= now:
            self.paused_until = 0.0
        closed = self.forced == State.CLOSED or self.breaker.is_closed
        self.is_calm = closed and not self.paused_until and self.forced != State.OPEN

    def state(self, now: float) -> State:
        if self.forced == State.OPEN:
            return State.OPEN
        if not self.forced and not self.breaker.is_closed:
            return State(self.breaker.state(now))
        return State.PAUSED if now < self.paused_until else State.CLOSED


class Trial:
    """A request to a destination from its beginning to its end."""

    __slots__ = ("destination", "era")

    def __init__(self, destination: Destination, era: int) -> None:
        self.destination = destination
        self.era = era
