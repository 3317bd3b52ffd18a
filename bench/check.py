"""The total-queue checker: compares what was accepted with what arrived and with what is left.

Every accepted task must have had exactly one end; what came twice must be explained by a kill.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from bench.feeding import Entry
from bench.nemesis import Kill
from bench.received import Request
from bench.remains import Remains
from bench.script import UNDO

EXPIRY_GRACE = 1.0
"""Seconds that a request may be under way before it arrives, on a machine that is busy."""
SETTLING = 0.1
"""Seconds before a kill in which an answer may not have been settled yet."""
UNDERWAY = 0.2
"""Seconds after a kill in which a request may still arrive."""
_EXAMPLES = 5


@dataclass(slots=True)
class Way:
    """Everything that is known of one task."""

    entry: Entry
    requests: list[Request] = field(default_factory=list)
    undoing: list[Request] = field(default_factory=list)
    letters: dict[str, int] = field(default_factory=dict)

    @property
    def seen(self) -> bool:
        return bool(self.requests or self.undoing or self.letters)

    @property
    def succeeded(self) -> bool:
        return any(each.succeeded for each in self.requests)

    @property
    def buried(self) -> int:
        return sum(self.letters.values())

    @property
    def compensated(self) -> bool:
        return any(each.succeeded for each in self.undoing)


@dataclass(slots=True)
class Findings:
    """What the checker found; numbers are of tasks unless they say otherwise."""

    accepted: int = 0
    unknown: int = 0
    unknown_that_ran: int = 0
    lost: int = 0
    early: int = 0
    late_starts: int = 0
    wrong_ends: int = 0
    wrong_attempts: int = 0
    wrong_ids: int = 0
    undecided: int = 0
    duplicated: int = 0
    undone_twice: int = 0
    buried_twice: int = 0
    bound: int = 0
    tight_bound: int = 0
    kills: int = 0
    requests: int = 0
    leftovers: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        wrong = (
            self.lost
            + self.early
            + self.late_starts
            + self.wrong_ends
            + self.wrong_attempts
            + self.wrong_ids
            + sum(self.leftovers.values())
        )
        repeated = max(self.duplicated, self.undone_twice, self.buried_twice, self.undecided)
        return not wrong and repeated <= self.bound

    def blame(self, what: str, way: Way) -> None:
        """Count a task under the name of a field, and keep the first few to look at."""
        setattr(self, what, getattr(self, what) + 1)
        kept = self.examples.setdefault(what, [])
        if len(kept) < _EXAMPLES:
            kept.append(f"{way.entry} {way.requests} undone {way.undoing} dead {way.letters}")


def check(
    ledger: Sequence[Entry],
    requests: Sequence[Request],
    remains: Remains,
    kills: Sequence[Kill],
    concurrency: int,
) -> Findings:
    """Compare the three logs. ``concurrency``: attempts that all queues may have in flight."""
    findings = Findings(
        accepted=sum(entry.accepted for entry in ledger),
        unknown=sum(not entry.accepted for entry in ledger),
        bound=len(kills) * concurrency,
        tight_bound=sum(min(each, concurrency) for each in _at_risk(requests, kills)),
        kills=len(kills),
        requests=len(requests),
        leftovers=remains.others | ({"invalid": remains.invalid} if remains.invalid else {}),
    )
    for way in _ways(ledger, requests, remains):
        if way.entry.accepted or way.seen:
            findings.unknown_that_ran += not way.entry.accepted
            _judge(way, findings)
    return findings


def _ways(ledger: Sequence[Entry], requests: Iterable[Request], remains: Remains) -> Iterable[Way]:
    ways = {entry.task.number: Way(entry) for entry in ledger}
    for request in requests:
        way = ways[request.number]
        (way.undoing if request.path.startswith(f"/{UNDO}/") else way.requests).append(request)
    for name, count in remains.dead.items():
        ways[remains.numbers[name]].letters[name] = count
    return ways.values()


def _judge(way: Way, findings: Findings) -> None:
    if not _ended(way):
        findings.blame("lost", way)
        return
    if not _ended_once(way):
        # A success that a kill kept from being recorded may have expired before its next try.
        what = "undecided" if way.entry.task.kind == "racing" else "wrong_ends"
        findings.blame(what, way)
    _judge_numbers(way, findings)
    if _is_early(way):
        findings.blame("early", way)
    if any(each.arrived > _expiry(way) + EXPIRY_GRACE for each in way.requests):
        findings.blame("late_starts", way)


def _ended(way: Way) -> bool:
    compensated = way.buried > 0 and way.compensated
    match way.entry.task.kind:
        case "doomed" | "hopeless":
            return compensated
        case "racing":
            return way.succeeded or compensated
        case _:
            return way.succeeded


def _ended_once(way: Way) -> bool:
    return way.succeeded != bool(way.buried) and bool(way.undoing) == bool(way.buried)


def _judge_numbers(way: Way, findings: Findings) -> None:
    """Look at ids and attempts, and count what came more often than the task needs it."""
    task, known = way.entry.task, way.entry.id
    ids = {each.id for each in way.requests}
    if known and ids - {known}:
        findings.blame("wrong_ids", way)
    attempts = {each.attempt for each in way.requests}
    needed = task.attempts if task.kind != "racing" else len(attempts)
    if attempts != set(range(1, needed + 1)) or needed > max(task.attempts, 0):
        findings.blame("wrong_attempts", way)
    findings.duplicated += max(0, len(way.requests) - needed)
    findings.undone_twice += max(0, len(way.undoing) - 1)
    findings.buried_twice += max(0, way.buried - 1)


def _is_early(way: Way) -> bool:
    """Before the due time, before the request's own word for it, or before a backoff was over."""
    due = way.entry.sent_at + way.entry.task.delay
    if any(each.arrived < max(due, _eta(each)) for each in way.requests):
        return True
    return any(arrived < over for arrived, over in _retries(way))


def _retries(way: Way) -> Iterator[tuple[float, float]]:
    """When each further attempt first arrived, and when the wait before it was over at best."""
    by_attempt: dict[int, list[Request]] = defaultdict(list)
    for each in way.requests:
        by_attempt[each.attempt].append(each)
    for before, after in pairwise(sorted(by_attempt)):
        answered = [each.answered for each in by_attempt[before] if each.answered]
        if answered:
            first = min(each.arrived for each in by_attempt[after])
            yield first, min(answered) + MIN_BACKOFF


MIN_BACKOFF = 0.2
"""Seconds; what the daemon's configuration of a chaos run says."""


def _eta(request: Request) -> float:
    return datetime.fromisoformat(request.eta).timestamp() if request.eta else 0.0


def _expiry(way: Way) -> float:
    lifetime = way.entry.task.lifetime
    return float("inf") if lifetime is None else way.entry.sent_at + lifetime


def _at_risk(requests: Sequence[Request], kills: Sequence[Kill]) -> Iterator[int]:
    """For each kill, the requests whose settlement the receiver cannot vouch for."""
    by_arrival = sorted(requests, key=lambda each: each.arrived)
    for kill in kills:
        yield sum(
            each.arrived <= kill.ended + UNDERWAY
            and (each.answered or each.arrived) >= kill.began - SETTLING
            for each in by_arrival
        )
