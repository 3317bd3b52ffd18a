"""The total-queue checker: compares what was accepted with what arrived and with what is left.

Every accepted task must have had exactly one end; what came twice must be explained by a fault.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.crowding import peaks
from bench.faults import Event
from bench.findings import Findings
from bench.fleet import CONCURRENCY, PREFETCH
from bench.histogram import counted, spread
from bench.ledger import Entry
from bench.received import Request
from bench.remains import Remains
from bench.script import QUEUES, UNDO, Scripted
from bench.way import Way

_LONGEST_REQUEST = 60.0

EXPIRY_GRACE = 1.0
"""Seconds that a request may be under way before it arrives, on a machine that is busy."""
SETTLING = 0.2
"""Seconds before a fault in which an answer may not have been settled yet, as a rule."""
UNDERWAY = 0.2
"""Seconds after a fault in which a request may still arrive that had begun before its end."""
SLACK = 1.0
"""Seconds by which a busy machine may be behind when a cause is looked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What daemons may have in hand: ``held`` unsettled, ``running`` requests, of each queue."""

    daemons: int = 1
    running: int = CONCURRENCY
    held: int = PREFETCH
    queues: int = len(QUEUES)

    def unsettled(self, event: Event) -> int:
        """Return how many attempts a fault may repeat at most.

        A daemon that dies has no more than its requests under way. One whose line is broken does
        not know it yet, and may carry out all that it has been given.
        """
        match event.reach, event.kind:
            case "none", _:
                return 0
            case "one", "kill":
                return self.running * self.queues
            case "one", _:
                return self.held * self.queues
            case _:
                return self.held * self.queues * self.daemons


class Checker:
    """Compares the logs of one run; ``task`` tells what each number is."""

    def __init__(
        self, task: Callable[[int], Scripted], events: Sequence[Event], limits: Limits
    ) -> None:
        self.findings = Findings(
            faults=len(events),
            bound=sum(limits.unsettled(event) for event in events),
            limit=limits.running * limits.daemons,
        )
        self._task = task
        self._events = events
        self._limits = limits
        self._late: list[float] = []

    def check(
        self, ledger: Iterable[Entry], requests: Sequence[Request], remains: Remains
    ) -> Findings:
        """Judge each task, then all requests together."""
        findings = self.findings
        findings.requests = len(requests)
        invalid = {"invalid": remains.invalid} if remains.invalid else {}
        findings.leftovers = remains.others | invalid
        for way in self._ways(ledger, requests, remains):
            findings.accepted += way.entry.accepted
            findings.unknown += not way.entry.accepted
            if way.entry.accepted or way.seen:
                findings.unknown_that_ran += not way.entry.accepted
                self._judge(way)
        findings.at_risk = sum(self._at_risk(requests))
        self._judge_limits(requests)
        if self._late:
            late = spread(self._late)
            findings.late_ms = (late.p50, late.p99, late.most)
            findings.lateness = counted(self._late)
        return findings

    def _ways(
        self, ledger: Iterable[Entry], requests: Iterable[Request], remains: Remains
    ) -> Iterable[Way]:
        ways = {entry.number: Way(entry, self._task(entry.number)) for entry in ledger}
        for request in requests:
            way = ways[request.number]
            undoes = request.path.startswith(f"/{UNDO}/")
            (way.undoing if undoes else way.requests).append(request)
        for name, count in remains.dead.items():
            ways[remains.numbers[name]].letters[name] = count
        return ways.values()

    def _judge(self, way: Way) -> None:
        findings = self.findings
        if not way.ended:
            findings.blame("lost", way)
            return
        if not way.ended_once:
            findings.blame("undecided" if way.may_end_twice else "wrong_ends", way)
            self._explain(way, 1 if way.may_end_twice else 0)
        known = way.entry.id
        if known and {each.id for each in way.requests} - {known}:
            findings.blame("wrong_ids", way)
        if not way.attempts_are_right:
            findings.blame("wrong_attempts", way)
        self._judge_times(way)
        self._judge_repeats(way)

    def _judge_times(self, way: Way) -> None:
        if way.requests and not way.task.endpoint:  # a bad one is kept waiting on purpose
            first = min(each.arrived for each in way.requests)
            self._late.append((first - way.due) * 1000)
        if way.is_early:
            self.findings.blame("early", way)
        if any(self._starts_late(each, way.expires) for each in way.requests):
            self.findings.blame("late_starts", way)

    def _starts_late(self, request: Request, expires: float) -> bool:
        """Whether it was sent after the expiry, and not by a daemon stopped in the act."""
        if request.arrived <= expires + EXPIRY_GRACE:
            return False
        return not any(
            event.kind == "freeze"
            and event.daemon == request.sender
            and event.began <= expires + EXPIRY_GRACE
            and request.arrived <= event.ended + EXPIRY_GRACE
            for event in self._events
        )

    def _judge_repeats(self, way: Way) -> None:
        """Count what came more often than the task needs it, and look for the cause."""
        for request in way.repeated():
            self.findings.blame("duplicated", way)
            self.findings.unmarked += not request.doubted
            self._explain(way, 1, request.arrived)
        if more := len(way.undoing) - 1:
            self.findings.undone_twice += max(0, more)
            self._explain(way, more, max((each.arrived for each in way.undoing), default=0.0))
        if more := way.buried - 1:
            self.findings.buried_twice += max(0, more)
            self._explain(way, more)

    def _explain(self, way: Way, count: int, until: float = float("inf")) -> None:
        """Count as unexplained what no fault between the hand-in and that moment can have caused.

        Not only requests are repeated. What is handed on by one that dies right then is there
        twice, and each copy may be carried out by another daemon, at any later attempt.
        """
        cause = any(
            event.reach != "none"
            and event.began <= until + SLACK
            and event.ended + SLACK >= way.entry.sent_at
            for event in self._events
        )
        if count > 0 and not cause:
            self.findings.blame("unexplained", way, count)

    def _at_risk(self, requests: Sequence[Request]) -> Iterator[int]:
        """Return for each fault how many requests the receiver cannot vouch to be settled."""
        by_arrival = sorted(requests, key=lambda each: each.arrived)
        arrivals = [each.arrived for each in by_arrival]
        for event in self._events:
            first = bisect_right(arrivals, event.began - SETTLING - _LONGEST_REQUEST)
            last = bisect_right(arrivals, event.ended + UNDERWAY)
            unsettled = sum(
                event.reaches(each.sender) and each.ended >= event.began - SETTLING
                for each in by_arrival[first:last]
            )
            yield min(unsettled, self._limits.unsettled(event))

    def _judge_limits(self, requests: Sequence[Request]) -> None:
        self.findings.peaks = peaks(requests)
        for name, most in self.findings.peaks.items():
            allowed = self._limits.running if "/" in name else self.findings.limit
            if most > allowed:
                self.findings.blame("over_limit", f"{name}: {most} of {allowed}")
