"""Who does most in a second? One core of ours beside the rivals, on both kinds of queues."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.race import built
from bench.race.arena import Arena, Course, RaceError
from bench.race.built import NotThereError
from bench.race.contender import Contender
from bench.race.finding import Findings, Goal, Row, Scale, rate_row
from bench.race.lap import Lap, Summary, ratio, summary
from bench.race.ours import OURS, ours
from bench.race.rivals import CELERY, PYTHON, go
from bench.race.sink import Sink

NAME = "throughput"
GO_ONE, GO_ALL = "go", "go, both cores"
TWO = "ours, processes = 2"
GOALS: Mapping[str, Goal] = {
    "celery": Goal(10, 5, unit="x"),
    "dramatiq": Goal(8, 4, unit="x"),
    "taskiq": Goal(3, 2, unit="x"),
    "faststream": Goal(2.5, 2, unit="x"),
}
GO_GOAL = Goal(1, 0.7, unit="x")
CPU_GOAL = Goal(0.1, least=False, unit=" of celery's")
RSS_GOAL = Goal(90, least=False, unit=" MB")


@dataclass(slots=True)
class Heat:
    """All races on one kind of queue."""

    kind: str
    laps: dict[str, list[Lap]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def found(self, name: str) -> Summary | None:
        return summary(self.laps[name]) if self.laps.get(name) else None


def present(contender: Contender) -> None:
    """See to it that one can take part. Raises NotThereError."""
    if contender.name.startswith("go"):
        built.in_go("consumer")
    elif contender.name in GOALS:
        built.venv(contender.name)


def run_heat(
    arena: Arena, sink: Sink, kind: str, entries: Sequence[tuple[Contender, int]], scale: Scale
) -> Heat:
    """Let all take turns, each so many times, beginning with another one each time."""
    heat = Heat(kind)
    for contender in turns(entries):
        if contender.name in heat.absent:
            continue
        scale.step(f"{NAME} {kind} {contender.name}")
        try:
            present(contender)
            lap = arena.race(contender, kind, sink, Course(scale.tasks(contender.tasks)))
            heat.laps.setdefault(contender.name, []).append(lap)
        except (NotThereError, RaceError, OSError) as error:
            heat.absent[contender.name] = str(error)
    return heat


def turns(entries: Sequence[tuple[Contender, int]]) -> Iterator[Contender]:
    """Return who runs, one after the other, each as often as is said: another first each round."""
    for number in range(max(runs for _, runs in entries)):
        first = number % len(entries)
        for contender, runs in (*entries[first:], *entries[:first]):
            if number < runs:
                yield contender


def classic(scale: Scale) -> list[tuple[Contender, int]]:
    """Return who takes part on classic queues, and how often."""
    entries = [(each, scale.runs) for each in (ours(), *PYTHON)]
    return [*entries, (go(GO_ONE, (0,)), scale.pick(1, scale.runs))]


def quorum(scale: Scale) -> list[tuple[Contender, int]]:
    """Return who takes part on quorum queues; a quick run has the core question often only."""
    often = [ours(), go(GO_ONE, (0,))]
    seldom = [*PYTHON, go(GO_ALL, ()), ours(TWO, cpus=(), processes=2)]
    return [
        *((each, scale.runs) for each in often),
        *((each, scale.pick(1, scale.runs)) for each in seldom),
    ]


def measure(arena: Arena, scale: Scale) -> Findings:
    """Measure both kinds of queues."""
    found = Findings()
    with Sink(arena.directory) as sink:
        for kind, entries in (("quorum", quorum(scale)), ("classic", classic(scale))):
            tell(run_heat(arena, sink, kind, entries, scale), [e.name for e, _ in entries], found)
    return found


def tell(heat: Heat, names: Sequence[str], found: Findings) -> None:
    """Write down what a heat has shown."""
    mine = heat.found(OURS)
    for name in names:
        who, theirs = f"{name}, {heat.kind}", heat.found(name)
        if theirs is None:
            found.absent(NAME, who, heat.absent.get(name, "it did not run"))
            continue
        goal = GO_GOAL if (name, heat.kind) == (GO_ONE, "quorum") else GOALS.get(name)
        found.rows.append(rate_row(NAME, who, theirs, None if name == OURS else mine, goal))
        found.runs[who] = heat.laps[name]
    for name in GOALS if heat.kind == "classic" else (GO_ONE,):
        if (times := ratio(mine, heat.found(name))) is not None:
            found.ratios[name] = times
    if heat.kind == "quorum" and mine:
        _tell_ours(mine, heat.found(CELERY.name), found)


def _tell_ours(mine: Summary, celery: Summary | None, found: Findings) -> None:
    """Write down what is asked of us alone."""
    found.figures["cpu_us_per_task"] = mine.cpu_us
    found.figures["rss_mb"] = megabytes = mine.resident / 1e6
    verdict = RSS_GOAL.verdict(megabytes)
    found.rows.append(
        Row(
            NAME,
            "ours: memory, with API",
            f"{megabytes:.0f} MB",
            goal=str(RSS_GOAL),
            verdict=verdict,
        )
    )
    if celery:
        part = mine.cpu_us / celery.cpu_us
        found.rows.append(
            Row(
                NAME,
                "ours: CPU for a task",
                f"{mine.cpu_us:.0f} us",
                beside=f"{part:.3f}x",
                goal=str(CPU_GOAL),
                verdict=CPU_GOAL.verdict(part),
            )
        )
    found.rows.append(Row(NAME, "the receiver, beside ours", f"{mine.receiver:.0%} of a core"))
