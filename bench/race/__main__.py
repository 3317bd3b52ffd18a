"""The benchmark: ours beside the rivals, in one go.

``python -m bench.race [--quick] [--only throughput,tls] [--write]`` prints one table and writes
bench/results. Exit code 1 when something could not be measured; what falls short is in the table.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.race import built, results, shape, strains, throughput, times, weights
from bench.race.arena import Arena, open_arena
from bench.race.ceiling import measure as ceiling
from bench.race.finding import Findings, Scale
from bench.race.table import terminal_table, write_into

README = Path(__file__).resolve().parents[1] / "README.md"
PICTURE = README.parent / "throughput.png"
EX_UNAVAILABLE = 69
_PAGE_WIDTH = 200
Scenario = Callable[[Arena, Scale], Findings]
SCENARIOS: Mapping[str, Scenario] = {
    "receiver": ceiling,
    "throughput": throughput.measure,
    "taskqueue_shape": shape.measure,
    "latency": times.measure_latency,
    "delay_accuracy": times.measure_delays,
    "retry_storm": strains.retry_storm,
    "fairness": strains.fairness,
    "many_hosts": strains.many_hosts,
    "tls": strains.tls,
    "slow_endpoints": strains.slow_endpoints,
    "memory": weights.memory,
    "start_up": weights.start_up,
}


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.race", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three runs of fewer tasks")
    parser.add_argument("--runs", type=int, help="of each contender (5; quick: 3)")
    parser.add_argument("--part", type=float, help="of the usual number of tasks (1; quick: 0.2)")
    parser.add_argument("--only", default="", metavar="NAMES", help=", ".join(SCENARIOS))
    parser.add_argument("--write", action="store_true", help="into bench/README.md, with a chart")
    return parser.parse_args()


def _chosen(only: str) -> dict[str, Scenario]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise SystemExit(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return {name: SCENARIOS[name] for name in names or SCENARIOS}


def measure(chosen: Mapping[str, Scenario], options: argparse.Namespace) -> Findings:
    """Measure one scenario after the other, with a bar; what breaks does not stop the others."""
    found, error = Findings(), Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=error) as bar, open_arena() as arena:
        shown = bar.add_task("", total=len(chosen))

        def step(words: str) -> None:
            bar.update(shown, description=words[:60])
            if not error.is_terminal:
                error.print(words, highlight=False)

        runs, part = options.runs or (3 if options.quick else 5), options.part
        scale = Scale(runs, part or (0.2 if options.quick else 1.0), options.quick, step)
        for name, scenario in chosen.items():
            try:
                found.add(scenario(arena, scale))
            except Exception as broken:  # noqa: BLE001 - one scenario must not take the others along
                found.absent(name, "all", f"{type(broken).__name__}: {broken}")
            bar.advance(shown)
    return found


def _draw(whole: Path, picture: Path) -> None:
    command = [str(built.venv("python")), "-m", "bench.race.chart", str(whole), str(picture)]
    subprocess.run(command, cwd=built.ROOT, check=True)


def _write(found: Findings, whole: Path, command: str) -> None:
    """Put the table into bench/README.md, and the chart beside it."""
    about = f"{results.describe_machine()}; {whole.stem[:8]}; `{command}`"
    picture = whole.with_suffix(".png")
    if picture.exists():
        shutil.copy(picture, PICTURE)
        about = f"![webhooks a second]({PICTURE.name})\n\n{about}"
    README.write_text(write_into(README.read_text(), found.rows, about))


def main() -> int:
    options = _read_arguments()
    chosen, began = _chosen(options.only), time.monotonic()
    console = Console() if sys.stdout.isatty() else Console(width=_PAGE_WIDTH)
    try:
        found = measure(chosen, options)
    except LookupError as error:
        print(error.args[0])
        return EX_UNAVAILABLE
    whole = results.keep(found, time.monotonic() - began, complete=len(chosen) == len(SCENARIOS))
    console.print(terminal_table(found.rows))
    if "throughput" in chosen:
        try:
            _draw(whole, whole.with_suffix(".png"))
        except (LookupError, subprocess.CalledProcessError) as error:
            found.troubles.append(f"no chart: {error}")
    if options.write:
        _write(found, whole, "make bench QUICK=1" if options.quick else "make bench")
    for trouble in found.troubles:
        console.out(f"NOT MEASURED {trouble}", highlight=False)
    console.out(f"{time.monotonic() - began:.0f} s, {whole}", highlight=False)
    return int(bool(found.troubles))


if __name__ == "__main__":
    sys.exit(main())
