"""How soon, and how late: from publish to request on an idle system; delayed tasks."""

import math
import time
from dataclasses import dataclass

from bench.histogram import Spread, spread
from bench.race.arena import Arena, Course, Scales, Worker
from bench.race.built import NotThereError
from bench.race.contender import QUEUE, Contender
from bench.race.finding import Findings, Goal, Row, Scale, value_row
from bench.race.ours import ours
from bench.race.publish import publishing, waits
from bench.race.rivals import go
from bench.race.sink import Sink
from bench.race.throughput import present
from bench.race.wire import Wire, letter, numbered

KIND = "quorum"
GAP_SECONDS = 0.02
_WARMING = 20
_SETTLE_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.01
HALF, MOST_OF = Goal(2, least=False, unit=" ms"), Goal(5, least=False, unit=" ms")
LATE_MOST, LATE_LAST = Goal(5, least=False, unit=" ms"), Goal(100, least=False, unit=" ms")
PARKED = Goal(15_000, unit="/s")
NONE = Goal(0, least=False)


def measure_latency(arena: Arena, scale: Scale) -> Findings:
    """Publish one at a time to a worker that has nothing else to do."""
    found = Findings()
    with Sink(arena.directory) as sink:
        for contender in (ours(), go("go", (0,))):
            scale.step(f"latency {contender.name}")
            try:
                present(contender)
            except NotThereError as error:
                found.absent("latency", contender.name, error)
                continue
            soon = latency(arena, sink, contender, scale.pick(200, 1000))
            mine = contender.name == "ours"
            for name, value, goal in (("p50", soon.p50, HALF), ("p99", soon.p99, MOST_OF)):
                who = f"{contender.name}: publish to request, {name}"
                found.rows.append(
                    value_row("latency", who, value, "ms", goal if mine else None, ".2f")
                )
    return found


def latency(arena: Arena, sink: Sink, contender: Contender, tasks: int) -> Spread:
    """Return the milliseconds from just before a publish until the request is there."""
    ground = arena.ground(contender, KIND)
    sink.forget()
    message = contender.message(Course(tasks).targets(sink)[0])
    packed = letter(QUEUE, message.body, message.properties)
    with Worker(contender, ground) as worker, Wire(ground.broker) as wire:
        wire.publish(numbered(packed, number) for number in range(_WARMING))
        Scales(worker, sink).reached(_WARMING)
        time.sleep(_SETTLE_SECONDS)
        sink.forget()
        sent = wire.publish_at([numbered(packed, n) for n in range(tasks)], GAP_SECONDS)
        Scales(worker, sink).reached(tasks)
    came = dict(zip(sink.numbers(), sink.times(), strict=True))
    return spread([(came[number] - at) * 1000 for number, at in enumerate(sent)])


@dataclass(frozen=True, slots=True)
class Lateness:
    """How delayed tasks went: milliseconds late; how many were early, lost, came twice.

    And how many a second were taken from the queue to where they wait.
    """

    late: Spread
    early: int
    lost: int
    twice: int
    parked_per_s: float
    cpu_us: float
    milliseconds: tuple[float, ...]

    @property
    def holds(self) -> bool:
        return not (self.early or self.lost)


def lateness(
    arena: Arena,
    sink: Sink,
    tasks: int,
    span: tuple[float, float],
    per_second: float = math.inf,
) -> Lateness:
    """Publish tasks with random countdowns within so many seconds, and see when each comes."""
    contender = ours()
    ground = arena.ground(contender, KIND)
    sink.forget()
    target = Course(tasks).targets(sink)[0]
    with (
        Worker(contender, ground) as worker,
        publishing(ground.broker, target, tasks, span, per_second) as begin,
        Wire(ground.broker) as wire,
    ):
        worker.wait_for(b'"daemon.ready"')
        cpu = worker.tree.cpu_seconds()
        began = begin().began
        while wire.depth(QUEUE):
            time.sleep(_LOOK_AGAIN_SECONDS)
        parked = time.time()
        _until_quiet(sink, tasks, parked + span[1] * 3 + 60)
        cpu = worker.tree.cpu_seconds() - cpu
    return _judge(sink, waits(tasks, span), began, parked, cpu)


def _until_quiet(sink: Sink, tasks: int, last: float) -> None:
    while sink.count() < tasks and time.time() < last:
        time.sleep(_LOOK_AGAIN_SECONDS)


def _judge(
    sink: Sink, countdowns: list[float], began: float, parked: float, cpu: float
) -> Lateness:
    numbers, times, dues = sink.numbers(), sink.times(), sink.dues()
    tasks, seen = len(countdowns), set(numbers)
    late = [(at - due) * 1000 for at, due in zip(times, dues, strict=True)]
    early = sum(
        at < max(due, began + countdowns[number])
        for number, at, due in zip(numbers, times, dues, strict=True)
    )
    lost, twice = tasks - len(seen), len(numbers) - len(seen)
    rate = tasks / (parked - began)
    return Lateness(spread(late), early, lost, twice, rate, cpu * 1e6 / tasks, tuple(late))


def measure_delays(arena: Arena, scale: Scale) -> Findings:
    """Let many tasks wait for up to half a minute; a quick run for less."""
    found, name = Findings(), "delay_accuracy"
    tasks, longest = scale.tasks(scale.pick(30_000, 50_000)), scale.pick(10, 30)
    scale.step(f"{name} {tasks} tasks")
    with Sink(arena.directory) as sink:
        seen = lateness(arena, sink, tasks, (1, longest))
    what = f"ours: {tasks} x 1 to {longest} s"
    found.rows += [
        value_row(name, f"{what}, late p50", seen.late.p50, "ms", form=".1f"),
        value_row(name, f"{what}, late p99", seen.late.p99, "ms", LATE_MOST, ".1f"),
        value_row(name, f"{what}, late max", seen.late.most, "ms", LATE_LAST, ".1f"),
        value_row(name, f"{what}, early", seen.early, "tasks", NONE, ".0f"),
        value_row(name, f"{what}, lost", seen.lost, "tasks", NONE, ".0f"),
        Row(
            name,
            f"{what}, parked",
            f"{seen.parked_per_s:,.0f}/s",
            cpu=f"{seen.cpu_us / 1000:.3f}",
            goal=str(PARKED),
            verdict=PARKED.verdict(seen.parked_per_s),
        ),
    ]
    found.figures["late_p99_ms"], found.figures["late_max_ms"] = seen.late.p99, seen.late.most
    found.figures["parked_per_s"] = seen.parked_per_s
    return found
