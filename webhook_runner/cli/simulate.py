"""`simulate`: when would a failing task be retried, and how would it end? Nothing is sent."""

import os
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice, zip_longest
from typing import Annotated

import typer

from webhook_runner.cli.option import ConfigOption, OutputOption
from webhook_runner.cli.report import (
    HELP,
    CommandError,
    Exit,
    Output,
    print_json,
    print_table,
    warn,
)
from webhook_runner.cli.timeline import Plan, Step, outcome_of, timeline
from webhook_runner.config.loader import load
from webhook_runner.settings import QueueSettings, Settings

EXAMPLES = """Examples:

  webhook-runner simulate --max-retries 5

  webhook-runner simulate --queue mail --outcome 503,timeout,200

  webhook-runner simulate --outcome 429 --retry-after 60 --expires-in 600

  webhook-runner simulate --jitter 0 --output json"""

_ALMOST_ONE = 1 - 2**-53

app = typer.Typer(add_completion=False)


@app.command("simulate", context_settings=HELP, epilog=EXAMPLES)
def simulate(
    config: ConfigOption = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Else the default.")] = None,
    outcome: Annotated[
        str,
        typer.Option(
            help="Statuses, timeout, connect, dns...; commas between them, the last repeats."
        ),
    ] = "503",
    max_retries: Annotated[int | None, typer.Option(min=-1, help="As in the message.")] = None,
    expires_in: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="Expires so many seconds after start.")
    ] = None,
    retry_after: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="What every answer's Retry-After says.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="ROWS", min=1, help="Most attempts to show.")] = 20,
    jitter: Annotated[
        str | None,
        typer.Option(
            metavar="0|1|SEED", help="Shortest waits, longest, or dice; else the range of both."
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show every attempt of a task with a queue's policy, and how it ends. Nothing is sent."""
    loaded = load(config, os.environ)
    warn(loaded.warnings)
    start = time.time()
    plan = Plan(
        queue=_queue(loaded.settings, queue),
        outcomes=[word.strip() for word in outcome.split(",")],
        start=start,
        max_retries=max_retries,
        expires=None if expires_in is None else start + expires_in,
        retry_after=retry_after,
    )
    _check(plan)
    runs = [list(islice(timeline(plan, dice), limit)) for dice in _dice(jitter)]
    (_print_json if output is Output.JSON else _print_table)(plan, runs)


def _queue(settings: Settings, name: str | None) -> QueueSettings:
    if name is None:
        first = next(iter(settings.queues))
        name = settings.default_queue if settings.default_queue in settings.queues else first
    if name not in settings.queues:
        known = ", ".join(settings.queues)
        raise CommandError(f"no queue {name!r} is configured", f"there are {known}", Exit.NOT_FOUND)
    return settings.queues[name]


def _check(plan: Plan) -> None:
    try:
        for word in plan.outcomes:
            outcome_of(word, plan)
    except ValueError as error:
        raise CommandError(str(error), "such as --outcome 503,timeout,200", Exit.USAGE) from error


def _dice(jitter: str | None) -> Sequence[Callable[[], float]]:
    """Return one dice for an exact line of time, two for the earliest and the latest."""
    shortest, longest = (lambda: 0.0), (lambda: _ALMOST_ONE)
    match jitter:
        case None:
            return (shortest, longest)
        case "0":
            return (shortest,)
        case "1":
            return (longest,)
        case _:
            return (random.Random(jitter).random,)  # noqa: S311 - dice, not secrets


def _print_table(plan: Plan, runs: Sequence[Sequence[Step]]) -> None:
    rows = [_row(plan.start, steps) for steps in zip_longest(*runs)]
    print_table(("attempt", "after", "at (UTC)", "outcome", "verdict", "wait"), rows)
    if any(run[-1].wait is not None for run in runs):
        typer.echo("... and so on; --limit shows more")


def _row(start: float, steps: Sequence[Step | None]) -> Sequence[str]:
    known = [step for step in steps if step is not None]
    after = [_duration(step.at - start) for step in known]
    waits = ["" if step.wait is None else _duration(step.wait) for step in known]
    return (
        str(known[0].attempt),
        _range(after),
        datetime.fromtimestamp(known[0].at, UTC).isoformat(" ", "milliseconds")[:-6],
        known[0].outcome,
        " or ".join(dict.fromkeys(step.verdict for step in known)),
        _range(waits),
    )


def _range(words: Sequence[str]) -> str:
    different = list(dict.fromkeys(word for word in words if word))
    return " to ".join(different)


def _duration(seconds: float) -> str:
    """Return seconds as ``1d 2h 3m 4.567s``, without the parts that are zero."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    days, whole = divmod(whole, 86400)
    hours, whole = divmod(whole, 3600)
    minutes, whole = divmod(whole, 60)
    last = f"{whole}.{thousandths:03d}".rstrip("0").rstrip(".")
    parts = [f"{days}d" * (days > 0), f"{hours}h" * (hours > 0), f"{minutes}m" * (minutes > 0)]
    if last != "0" or not any(parts):
        parts.append(f"{last}s")
    return " ".join(part for part in parts if part)


def _print_json(plan: Plan, runs: Sequence[Sequence[Step]]) -> None:
    names = ("earliest", "latest") if len(runs) > 1 else ("exact",)
    print_json(
        {
            name: [_object(plan.start, step) for step in run]
            for name, run in zip(names, runs, strict=True)
        }
    )


def _object(start: float, step: Step) -> dict[str, object]:
    return {
        "attempt": step.attempt,
        "after_seconds": round(step.at - start, 3),
        "at": datetime.fromtimestamp(step.at, UTC).isoformat(timespec="milliseconds"),
        "outcome": step.outcome,
        "verdict": step.verdict,
        "wait_seconds": None if step.wait is None else round(step.wait, 3),
    }
