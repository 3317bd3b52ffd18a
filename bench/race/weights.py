"""What it takes: memory at full load, with a backlog, with nothing to do; time to start."""

import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from bench import recovery, startup, weight
from bench.race.arena import Arena, Course, Scales, Worker, fill
from bench.race.finding import Findings, Goal, Scale, value_row
from bench.race.lap import END
from bench.race.ours import ours
from bench.race.sink import Sink

KIND = "quorum"
OF_WORKER = Goal(60, least=False, unit=" MB")
IDLE_CPU = Goal(1, least=False, unit=" %")
BACKLOG = Goal(200, least=False, unit=" MB")
HELP = Goal(startup.GOAL_SECONDS, least=False, unit=" s")
READY = Goal(2, least=False, unit=" s")
_HALF = 2


def memory(arena: Arena, scale: Scale) -> Findings:
    """Weigh a daemon that has all to do, much to do, and nothing."""
    found, name = Findings(), "memory"
    scale.step(f"{name} of a worker")
    with Sink(arena.directory) as sink:
        heaviest = _heaviest_worker(arena, sink, scale.tasks(60_000)) / 1e6
    who = "ours: full load, a worker (it has no API)"
    found.rows.append(value_row(name, who, heaviest, "MB", OF_WORKER, ".0f"))
    tasks = scale.tasks(scale.pick(100_000, 1_000_000))
    scale.step(f"{name} backlog of {tasks}")
    with redirect_stdout(StringIO()):
        backlog = weight.rabbitmq_backlog(tasks).resident / 1e6
        scale.step(f"{name} idle")
        idle = weight.measure_idle(scale.pick(5, 60))
    found.rows += [
        value_row(name, f"ours: backlog of {tasks}", backlog, "MB", BACKLOG, ".0f"),
        value_row(name, "ours: idle", idle.resident / 1e6, "MB", form=".0f"),
        value_row(name, "ours: idle, of one core", idle.share * 100, "%", IDLE_CPU, ".2f"),
    ]
    return found


def _heaviest_worker(arena: Arena, sink: Sink, tasks: int) -> int:
    """Return the bytes of the larger of two workers when nearly all is done."""
    contender = ours(cpus=(), processes=2)
    ground, course = arena.ground(contender, KIND), Course(tasks)
    fill(ground, contender, course.targets(sink), tasks)
    with Worker(contender, ground) as worker:
        Scales(worker, sink).reached(int(tasks * END))
        members = worker.tree.residents()
        return max(weight for pid, weight in members.items() if pid != worker.tree.leader)


def start_up(arena: Arena, scale: Scale) -> Findings:
    """Time the start of the daemon on each broker, and of the command line."""
    found, name = Findings(), "start_up"
    times = scale.pick(3, 9)
    with redirect_stdout(StringIO()), tempfile.TemporaryDirectory(prefix="wr-start-") as place:
        for broker, url in (
            ("embedded", f"embedded:{place}/queue.db"),
            ("RabbitMQ", arena.node.url),
        ):
            scale.step(f"{name} {broker}")
            ready = sorted(recovery.start(Path(place), url) for _ in range(times))
            who = f"ours: ready, {broker}"
            found.rows.append(value_row(name, who, ready[times // _HALF], "s", READY, ".2f"))
        scale.step(f"{name} command line")
        version = startup.measure(("--version",), times)
    found.rows.append(value_row(name, "ours: --version", version, "s", HELP, ".2f"))
    return found
