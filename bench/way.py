"""Everything that the logs of a chaos run tell of one task, and what that means."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from bench.fleet import MIN_BACKOFF
from bench.ledger import Entry
from bench.received import Request
from bench.receiver import RETRY_AFTER
from bench.script import Scripted

_TOO_MANY_REQUESTS = 429


@dataclass(slots=True)
class Way:
    """One task: as it was handed in, its requests and roll-backs, its dead letters by id."""

    entry: Entry
    task: Scripted
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
        """Whether it is among the dead letters, and its roll-back was answered well."""
        return self.buried > 0 and any(each.succeeded for each in self.undoing)

    @property
    def ended(self) -> bool:
        """Whether it has an end that its kind may have."""
        match self.task.kind:
            case "doomed" | "hopeless" | "hostile":
                return self.compensated
            case "racing" | "stormy":
                return self.succeeded or self.compensated
            case _:
                return self.succeeded

    @property
    def ended_once(self) -> bool:
        return self.succeeded != bool(self.buried) and bool(self.undoing) == bool(self.buried)

    @property
    def may_end_twice(self) -> bool:
        """Whether a success that was not recorded may have expired before its next try."""
        return self.task.kind in {"racing", "stormy"}

    @property
    def due(self) -> float:
        """Epoch seconds before which no request may come."""
        return self.entry.sent_at + self.task.delay

    @property
    def expires(self) -> float:
        lifetime = self.task.lifetime
        return float("inf") if lifetime is None else self.entry.sent_at + lifetime

    @property
    def is_early(self) -> bool:
        """Before the due time, before the request's own word for it, or before a wait was over."""
        if any(each.arrived < max(self.due, _eta(each)) for each in self.requests):
            return True
        return any(arrived < over for arrived, over in self._retries())

    @property
    def attempts_are_right(self) -> bool:
        """Whether the attempts that were seen are those that it needs."""
        seen = {each.attempt for each in self.requests}
        match self.task.kind:
            case "hostile":  # some endpoints see nothing, and it may expire between attempts
                return seen <= set(range(1, self.task.attempts + 1))
            case "stormy":
                return seen == set(range(1, len(seen) + 1))
            case "racing":
                return seen <= {1}
            case _:
                return seen == set(range(1, self.task.attempts + 1))

    def repeated(self) -> Iterator[Request]:
        """Return each request whose attempt had been seen before, in order of arrival."""
        seen: set[int] = set()
        for each in sorted(self.requests, key=lambda request: request.arrived):
            if each.attempt in seen:
                yield each
            seen.add(each.attempt)

    def _retries(self) -> Iterator[tuple[float, float]]:
        """When each further attempt first arrived, and when the wait before it was over at best."""
        by_attempt: dict[int, list[Request]] = defaultdict(list)
        for each in self.requests:
            by_attempt[each.attempt].append(each)
        for before, after in pairwise(sorted(by_attempt)):
            waits = [each.ended + _wait(each) for each in by_attempt[before] if each.status]
            if waits:
                yield min(each.arrived for each in by_attempt[after]), min(waits)


def _wait(request: Request) -> float:
    return RETRY_AFTER if request.status == _TOO_MANY_REQUESTS else MIN_BACKOFF


def _eta(request: Request) -> float:
    return datetime.fromisoformat(request.eta).timestamp() if request.eta else 0.0
