"""Questions before what cannot be undone, and bars for what takes long; both for people only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich import progress as bars
from rich.console import Console

from webhook_runner.cli.report import CommandError, Exit


def confirm(what: str, *, yes: bool) -> None:
    """Ask whether ``what`` is to be done.

    Raises:
        CommandError: there is nobody to ask, and --yes was not given.
        typer.Abort: the answer is no.

    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{what}: not done without being asked to", "give --yes", Exit.USAGE)
    typer.confirm(f"{what}?", abort=True, err=True)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Give a function that tells how many more are done; a bar on a terminal shows it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn())
    shown = (*columns, bars.TimeRemainingColumn())
    with bars.Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)
