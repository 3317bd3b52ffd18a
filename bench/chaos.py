"""Is a task ever lost, repeated without need, or early? Real daemons, real faults, three logs.

``python -m bench.chaos --broker rabbitmq --daemons 3 --tasks 100000 --kills 50 --broker-kills 20
--pauses 20 --cuts 20 --seed 1``; ``--plan short`` and ``--plan long`` are several runs in a row.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from rich.console import Console

from bench.faults import TEMPI, Faults
from bench.plans import PLANS, STANDARD
from bench.report import as_json, closing_line, tell
from bench.run import Result, Run, carry_out
from tests.parts.broker import HOW_TO_GET_ONE
from tests.parts.cluster import find_binaries
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.postgresql import HOW_TO_GET_ONE as HOW_TO_GET_A_DATABASE

UNAVAILABLE = 69


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command. Returns the exit code: 0, 1 when something was found, 69 without a broker.

    Wrong arguments end it with SystemExit(2).
    """
    chosen = _parser().parse_args(arguments)
    runs = _runs(chosen)
    console = Console()
    if wanting := _wanting(runs):
        console.out(wanting)
        return UNAVAILABLE
    results: list[Result] = []
    with _node_for(runs) as node:
        for run in runs:
            with tempfile.TemporaryDirectory(prefix="wr-chaos-", dir=chosen.directory) as name:
                results.append(carry_out(run, Path(name), console, node))
            tell(results[-1], console)
            console.out("")
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(results), indent=1) + "\n")
    line = closing_line(results)
    console.out(line)
    return 0 if line.endswith("PASS") else 1


@contextmanager
def _node_for(runs: Sequence[Run]) -> Iterator[RabbitNode | None]:
    """Start the RabbitMQ that all these runs use, if any does."""
    if all(run.broker == "embedded" for run in runs):
        yield None
    else:
        with RabbitNode.start() as node:
            yield node


def _wanting(runs: Sequence[Run]) -> str:
    """Return what to do about what is missing for these runs, or ""."""
    if any(run.broker == "rabbitmq" for run in runs) and Installation.find() is None:
        return HOW_TO_GET_ONE
    if any(run.store == "postgresql" for run in runs) and find_binaries() is None:
        return HOW_TO_GET_A_DATABASE
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--plan", choices=PLANS, help="several runs; nothing else is needed")
    parser.add_argument("--broker", choices=("embedded", "rabbitmq"), default="embedded")
    parser.add_argument("--daemons", type=int, help="3 on RabbitMQ, 1 on the embedded broker")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--seed", type=int, help="decides the tasks, the faults and their order")
    parser.add_argument("--store", choices=("none", "sqlite", "postgresql"), default="none")
    parser.add_argument("--tempo", choices=TEMPI, default="full", help="how long faults last")
    parser.add_argument("--no-hostile", action="store_true", help="good endpoints only")
    parser.add_argument("--config", type=Path, help="lines for the daemons' configuration")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings there")
    parser.add_argument("--directory", type=Path, help="where the logs are kept meanwhile")
    about = "faults; those that are not named are not done, and when none is, the usual ones are"
    faults = parser.add_argument_group(about)
    for each in fields(Faults):
        faults.add_argument(f"--{each.name.replace('_', '-')}", type=int, metavar="N")
    return parser


def _runs(chosen: argparse.Namespace) -> tuple[Run, ...]:
    if chosen.plan:
        return PLANS[chosen.plan](chosen.seed)
    daemons = chosen.daemons or (3 if chosen.broker == "rabbitmq" else 1)
    named = {each.name: getattr(chosen, each.name) for each in fields(Faults)}
    counts = {name: count for name, count in named.items() if count is not None}
    faults = Faults(**counts) if counts else STANDARD[chosen.broker]
    if chosen.broker == "embedded" and (daemons > 1 or faults.of_the_broker):
        _parser().error("an embedded broker has one daemon; it is no process that can be killed")
    run = Run(
        broker=chosen.broker,
        daemons=daemons,
        tasks=chosen.tasks,
        seed=1 if chosen.seed is None else chosen.seed,
        store=chosen.store,
        tempo=chosen.tempo,
        hostile=not chosen.no_hostile,
        more=chosen.config.read_text() if chosen.config else "",
        faults=faults,
    )
    return (run,)


if __name__ == "__main__":
    sys.exit(main())
