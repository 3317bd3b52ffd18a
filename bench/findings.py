"""What the checker of the chaos runs found, and whether that is all right."""

from dataclasses import dataclass, field

_EXAMPLES = 5


@dataclass(slots=True)
class Findings:
    """Numbers are of tasks unless they say otherwise.

    Attributes:
        duplicated: requests beyond those that the tasks needed.
        undone_twice, buried_twice: roll-backs and dead letters beyond the first.
        undecided: tasks that ended in two ways, which a repeated attempt may lead to.
        unexplained: of all these, what no fault can have caused.
        bound: what the faults can have repeated: unsettled deliveries at each, at most.
        at_risk: the same as the receiver saw it: requests not surely settled at each fault.
        unmarked: repeated requests that did not say that they may be duplicates.
        over_limit: queues that had more requests at once than allowed.
        peaks: the most requests at once, by queue.
        late_ms: how late first requests to the good endpoint were: median, 99th percentile, most.
        lateness: how many in each span of `bench.histogram`.
        leftovers: what was left in the broker besides dead letters.
        troubles: what else went wrong.

    """

    accepted: int = 0
    unknown: int = 0
    unknown_that_ran: int = 0
    requests: int = 0
    faults: int = 0
    lost: int = 0
    early: int = 0
    late_starts: int = 0
    wrong_ends: int = 0
    wrong_attempts: int = 0
    wrong_ids: int = 0
    duplicated: int = 0
    undone_twice: int = 0
    buried_twice: int = 0
    undecided: int = 0
    unexplained: int = 0
    unmarked: int = 0
    bound: int = 0
    at_risk: int = 0
    over_limit: int = 0
    limit: int = 0
    peaks: dict[str, int] = field(default_factory=dict)
    late_ms: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lateness: list[int] = field(default_factory=list)
    leftovers: dict[str, int] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
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
            + self.unexplained
            + self.over_limit
            + sum(self.leftovers.values())
            + len(self.troubles)
        )
        repeated = max(self.duplicated, self.undone_twice, self.buried_twice, self.undecided)
        return not wrong and repeated <= self.bound

    def blame(self, what: str, example: object, count: int = 1) -> None:
        """Count under the name of a field, and keep the first few to look at."""
        setattr(self, what, getattr(self, what) + count)
        kept = self.examples.setdefault(what, [])
        if len(kept) < _EXAMPLES:
            kept.append(str(example))
