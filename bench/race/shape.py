"""The shape of taskqueue's own benchmark: one publishes while it is carried out, one counts."""

import subprocess

from bench.race import built
from bench.race.arena import Arena, Course, RaceError, Scales, Worker, must_be_done
from bench.race.built import NotThereError
from bench.race.contender import QUEUE, Command, Contender, Ground, plain
from bench.race.finding import Findings, Goal, Row, Scale
from bench.race.lap import Lap, ratio, summary
from bench.race.ours import inherited, ours
from bench.race.publish import publishing
from bench.race.sink import Sink

NAME = "taskqueue_shape"
GOAL = Goal(1.2, unit="x")
KIND = "classic"
TASKS = 60_000
OURS, OURS_ONE = "ours, processes = 2", "ours, one process"
GO_TWO, GO_MANY = "go, 2 at a time", "go, 100 at a time"
_GO = {GO_TWO: 2, GO_MANY: 100}
_LONGEST_SECONDS = 300.0


def measure(arena: Arena, scale: Scale) -> Findings:
    """Let ours and the Go program take turns."""
    found, tasks = Findings(), scale.tasks(TASKS)
    laps: dict[str, list[Lap]] = {}
    absent: dict[str, str] = {}
    with Sink(arena.directory) as sink:
        for number in range(scale.runs):
            for who in (OURS, GO_TWO, OURS_ONE, GO_MANY):
                extra = who in {OURS_ONE, GO_MANY}
                if who in absent or (extra and number >= scale.pick(1, scale.runs)):
                    continue
                scale.step(f"{NAME} {who}")
                try:
                    lap = _lap(arena, sink, who, tasks)
                    laps.setdefault(who, []).append(lap)
                except (NotThereError, RaceError, OSError, RuntimeError) as error:
                    absent[who] = str(error)
    _tell(laps, absent, found)
    return found


def _lap(arena: Arena, sink: Sink, who: str, tasks: int) -> Lap:
    if who in _GO:
        return _of_go(arena, tasks, _GO[who])
    if who == OURS_ONE:
        return _of_ours(arena, sink, ours(who, cpus=()), tasks)
    return _of_ours(arena, sink, ours(who, cpus=(), processes=2), tasks)


def _of_ours(arena: Arena, sink: Sink, contender: Contender, tasks: int) -> Lap:
    ground = arena.ground(contender, KIND)
    sink.forget()
    target = Course(tasks).targets(sink)[0]
    with (
        Worker(contender, ground) as worker,
        publishing(ground.broker, target, tasks) as go,
    ):
        worker.wait_for(b'"daemon.ready"')
        scales, before = Scales(worker, sink), worker.tree.cpu_seconds()
        began = go().began
        ended = scales.reached(tasks)
        must_be_done(worker, sink, tasks)
    seconds = sink.times()[tasks - 1] - began
    cpu_us = (ended.cpu - before) * 1e6 / tasks
    return Lap(tasks / seconds, cpu_us, scales.resident, scales.proportional)


def _of_go(arena: Arena, tasks: int, concurrency: int) -> Lap:
    """Return what its program says of itself; publisher and receiver are within."""
    program = built.in_go("shape")
    contender = Contender("go shape", tasks, lambda _: Command(()), plain)
    ground: Ground = arena.ground(contender, KIND)
    more = ("-tasks", str(tasks), "-concurrency", str(concurrency))
    done = subprocess.run(
        [str(program), "-url", ground.broker, "-queue", QUEUE, *more],
        env=inherited(),
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RaceError(done.stderr[-1000:])
    return Lap(tasks / float(done.stdout), 0.0)


def _tell(laps: dict[str, list[Lap]], absent: dict[str, str], found: Findings) -> None:
    theirs = summary(laps[GO_TWO]) if GO_TWO in laps else None
    for who in (OURS, OURS_ONE, GO_TWO, GO_MANY):
        if who not in laps:
            found.absent(NAME, who, absent.get(who, "it did not run"))
            continue
        each = summary(laps[who])
        times = ratio(each, theirs) if who.startswith("ours") else None
        found.runs[f"{NAME}, {who}"] = laps[who]
        goal = GOAL if who == OURS else None
        found.rows.append(
            Row(
                NAME,
                who,
                f"{each.per_second:,.0f}/s",
                f"{each.least:,.0f} to {each.most:,.0f}" if each.runs > 1 else "one run",
                f"{each.cpu_us / 1000:.3f}" if each.cpu_us else "",
                f"{each.resident / 1e6:.0f} ({each.proportional / 1e6:.0f})"
                if each.resident
                else "",
                f"{times:.2f}x" if times is not None else "",
                str(goal) if goal else "",
                goal.verdict(times) if goal and times is not None else "",
            )
        )
        if who == OURS and times is not None:
            found.ratios[NAME] = times
