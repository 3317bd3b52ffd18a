"""What a scenario found: lines of the table, and the figures that are kept by name."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.race.lap import Lap, Summary

NOT_AVAILABLE = "not available"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a value should reach, and what it has to reach; ``least`` when more is better."""

    aim: float
    must: float | None = None
    least: bool = True
    unit: str = ""

    def verdict(self, value: float) -> str:
        """Return "holds", "must" when only that is reached, or "SHORT"."""
        if self._reaches(value, self.aim):
            return "holds"
        if self.must is not None and self._reaches(value, self.must):
            return "must"
        return "SHORT"

    def __str__(self) -> str:
        sign = ">=" if self.least else "<="
        must = "" if self.must is None else f" (must {self.must:g})"
        return f"{sign} {self.aim:g}{self.unit}{must}"

    def _reaches(self, value: float, limit: float) -> bool:
        return value >= limit if self.least else value <= limit


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; what does not apply is empty."""

    scenario: str
    who: str
    figure: str
    spread: str = ""
    cpu: str = ""
    memory: str = ""
    beside: str = ""
    goal: str = ""
    verdict: str = ""


@dataclass(slots=True)
class Findings:
    """What was found: lines; ratios and figures by name; all runs by line; what broke."""

    rows: list[Row] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    runs: dict[str, list[Lap]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Take over what another scenario found."""
        self.rows += other.rows
        self.ratios |= other.ratios
        self.figures |= other.figures
        self.runs |= other.runs
        self.troubles += other.troubles

    def absent(self, scenario: str, who: str, why: object) -> None:
        """Say loudly that something was not measured."""
        reason = " ".join(str(why).split())
        self.rows.append(Row(scenario, who, f"{NOT_AVAILABLE}: {reason[:60]}"))
        self.troubles.append(f"{scenario}, {who}: {why}")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done: so many runs of each, of this part of the tasks.

    Attributes:
        runs: of each contender, interleaved.
        part: of the usual number of tasks.
        quick: rather less than all.
        step: called before each run with words.

    """

    runs: int = 5
    part: float = 1.0
    quick: bool = False
    step: Callable[[str], None] = print

    def tasks(self, usual: int) -> int:
        """Return how many tasks instead of the usual number."""
        return max(100, int(usual * self.part))

    def pick(self, few: int, many: int) -> int:
        return few if self.quick else many


def value_row(
    scenario: str, who: str, value: float, unit: str, goal: Goal | None = None, form: str = ".3g"
) -> Row:
    """Return a line of one value beside what it should be."""
    verdict = goal.verdict(value) if goal else ""
    return Row(
        scenario, who, f"{value:{form}} {unit}", goal=str(goal) if goal else "", verdict=verdict
    )


def rate_row(
    scenario: str,
    who: str,
    found: Summary,
    ours: Summary | None = None,
    goal: Goal | None = None,
) -> Row:
    """Return a line of a rate; with ``ours``, how many times it ours is."""
    times = ours.per_second / found.per_second if ours else None
    return Row(
        scenario,
        who,
        f"{found.per_second:,.0f}/s",
        spread=f"{found.least:,.0f} to {found.most:,.0f}" if found.runs > 1 else "one run",
        cpu=f"{found.cpu_us / 1000:.3f}",
        memory=f"{found.resident / 1e6:.0f} ({found.proportional / 1e6:.0f})",
        beside=f"{times:.2f}x" if times is not None else "",
        goal=str(goal) if goal else "",
        verdict=goal.verdict(times) if goal and times is not None else "",
    )
