"""What makes it harder: failures, many hosts, TLS, endpoints that take their time, a dead one."""

import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from bench import isolation
from bench.race.arena import Arena, Course, RaceError
from bench.race.contender import Contender
from bench.race.finding import Findings, Goal, Scale, rate_row, value_row
from bench.race.lap import Lap, summary
from bench.race.ours import ours
from bench.race.sink import Sink
from tests.parts.tls import Tls

KIND = "quorum"
HOSTS = 100
SLOW_MS, SLOW_AT_ONCE = 100, 500
_PATIENT = """
min_backoff_seconds = 1
max_backoff_seconds = 1
jitter = 0
[breaker]
enabled = false
"""
FAIR = Goal(isolation.TARGET * 100, unit=" %")


def _raced(scenario: str, who: str, scale: Scale, race: Callable[[], Lap]) -> Findings:
    """Run one course some times; write down its rate."""
    found, laps = Findings(), []
    try:
        for _ in range(scale.pick(1, scale.runs)):
            scale.step(f"{scenario} {who}")
            laps.append(race())
    except (RaceError, LookupError, OSError) as error:
        found.absent(scenario, who, error)
        return found
    found.rows.append(rate_row(scenario, who, summary(laps)))
    found.runs[f"{scenario}, {who}"] = laps
    return found


def retry_storm(arena: Arena, scale: Scale) -> Findings:
    """Let every task fail once, and be done a second later."""
    contender, tasks = ours(lines=_PATIENT), scale.tasks(scale.pick(20_000, 30_000))
    with Sink(arena.directory) as sink:
        return _raced(
            "retry_storm",
            "ours: each fails once, requests",
            scale,
            lambda: arena.race(contender, KIND, sink, Course(tasks, "fail", requests=2)),
        )


def many_hosts(arena: Arena, scale: Scale) -> Findings:
    """Let the tasks call a hundred hosts in turn."""
    tasks = scale.tasks(60_000)
    with Sink(arena.directory, hosts=HOSTS) as sink:
        return _raced(
            "many_hosts",
            f"ours: {HOSTS} hosts",
            scale,
            lambda: arena.race(ours(), KIND, sink, Course(tasks, hosts=HOSTS)),
        )


def tls(arena: Arena, scale: Scale) -> Findings:
    """Let the receiver speak TLS."""
    place = Path(tempfile.mkdtemp(dir=arena.directory))
    files, tasks = Tls().write(place), scale.tasks(40_000)
    contender: Contender = ours(ca_file=str(files.authority))
    with Sink(arena.directory, tls=(files.server_certificate, files.server_key)) as sink:
        return _raced(
            "tls",
            "ours: https",
            scale,
            lambda: arena.race(contender, KIND, sink, Course(tasks)),
        )


def slow_endpoints(arena: Arena, scale: Scale) -> Findings:
    """Let each answer take a while, with more in flight."""
    tasks, possible = scale.tasks(40_000), SLOW_AT_ONCE * 1000 / SLOW_MS
    contender = ours(concurrency=SLOW_AT_ONCE)
    with Sink(arena.directory, delay_ms=SLOW_MS) as sink:
        return _raced(
            "slow_endpoints",
            f"ours: {SLOW_MS} ms each, {SLOW_AT_ONCE} at once, {possible:,.0f}/s possible",
            scale,
            lambda: arena.race(contender, KIND, sink, Course(tasks, "slow")),
        )


def fairness(_arena: Arena, scale: Scale) -> Findings:
    """Compare what good hosts get beside a dead one with what they get without it."""
    rate, seconds = 100, scale.pick(5, 20)
    got: dict[str, float] = {}
    for kind in ("no other host", "a dead host"):
        scale.step(f"fairness {kind}")
        with tempfile.TemporaryDirectory(prefix="wr-fair-") as name, redirect_stdout(StringIO()):
            got[kind] = isolation.measure(Path(name), kind, rate, seconds).per_second
    found, share = Findings(), got["a dead host"] / got["no other host"] * 100
    who = "ours: rate that good hosts keep beside a dead one"
    found.rows.append(value_row("fairness", who, share, "%", FAIR, ".1f"))
    return found
