"""The figures that the promises are judged by: one line each, ``A6 name value limit PASS|FAIL``.

``python -m bench.figures [--long] [--only A6,A7] [--json FILE] [--write]``: exit code 1 when one
of them does not hold or could not be measured. ``--write`` puts them into bench/README.md.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import figures_chaos, figures_input, figures_limits, figures_time, figures_weight
from bench.figure import NOT_MEASURED, Figure, Line, NotMeasuredError, Scale
from bench.figures_table import write_table

README = Path(__file__).parent / "README.md"
_KINDS = figures_chaos, figures_time, figures_weight, figures_limits, figures_input
FIGURES: tuple[Figure, ...] = tuple(
    sorted(
        (figure for kind in _KINDS for figure in kind.FIGURES),
        key=lambda figure: int(figure.name[1:]),
    )
)


@dataclass(frozen=True, slots=True)
class Found:
    """A figure with its lines, and the seconds it took."""

    figure: Figure
    lines: list[Line]
    seconds: float


def measure(figure: Figure, scale: Scale) -> Found:
    """Measure one figure; what goes wrong on the way is a line that fails."""
    began = time.monotonic()
    try:
        lines = figure.measure(scale)
    except NotMeasuredError as error:
        lines = [Line(f"{NOT_MEASURED}: {error}", "-", "-", passed=False)]
    except Exception as error:  # noqa: BLE001 - one figure must not take the others along
        print(repr(error), flush=True)
        lines = [Line(f"{NOT_MEASURED}: {type(error).__name__}: {error}"[:200], "-", "-", False)]
    return Found(figure, lines, time.monotonic() - began)


def tell(found: Found, console: Console) -> None:
    """Print the lines of a figure."""
    for line in found.lines:
        what = f"{found.figure.name:<4}{line.what:<46}"
        console.out(f"{what} {line.value:>22}  {line.limit:<22} {line.verdict}", highlight=False)


def measure_all(
    chosen: Sequence[Figure], scale: Scale, console: Console, keep: Callable[[list[Found]], None]
) -> list[Found]:
    """Measure one after the other, with a bar on a terminal; print and keep each when it is known.

    A run of hours that is ended half way has told what it knew.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    found = []
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(chosen))
        for figure in chosen:
            progress.update(bar, description=f"{figure.name} {figure.about[:40]}")
            with _words_to_a_file(figure.name):
                found.append(measure(figure, scale))
            tell(found[-1], console)
            keep(found)
            progress.advance(bar)
    return found


@contextlib.contextmanager
def _words_to_a_file(name: str) -> Iterator[None]:
    """Let what a measurement prints go to a file beside the others, not between the figures."""
    place = Path(tempfile.gettempdir()) / f"wr-figures-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    with (place / f"{name}.log").open("w") as file, contextlib.redirect_stdout(file):
        yield


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.figures", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the real numbers; takes hours")
    parser.add_argument("--only", default="", metavar="A6,A7", help="these alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="what was found, as JSON")
    about = "of `bench.chaos --plan long --json FILE`, for A1, A2, A5 of the long run"
    parser.add_argument("--chaos", type=Path, metavar="FILE", help=about)
    parser.add_argument("--write", action="store_true", help="into the table of bench/README.md")
    return parser.parse_args()


def _chosen(only: str) -> list[Figure]:
    names = [name.strip().upper() for name in only.split(",") if name.strip()]
    known = {figure.name: figure for figure in FIGURES}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no figure {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def _as_json(found: Sequence[Found], scale: Scale) -> str:
    figures = [
        {
            "name": each.figure.name,
            "about": each.figure.about,
            "seconds": round(each.seconds, 1),
            "lines": [asdict(line) for line in each.lines],
        }
        for each in found
    ]
    return json.dumps({"long": scale.long, "figures": figures}, indent=1)


def main() -> int:
    options = _read_arguments()
    chosen, scale = _chosen(options.only), Scale(options.long, options.chaos)
    console = Console()
    began = time.monotonic()

    def keep(found: list[Found]) -> None:
        if options.json:
            options.json.write_text(_as_json(found, scale))
        if options.write:
            known = {each.figure.name: each.lines for each in found}
            README.write_text(write_table(README.read_text(), known, scale))

    found = measure_all(chosen, scale, console, keep)
    failed = [each.figure.name for each in found if not all(line.passed for line in each.lines)]
    verdict = f"FAIL: {', '.join(failed)}" if failed else "PASS"
    console.out(f"{len(found)} figures in {time.monotonic() - began:.0f} s {verdict}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
