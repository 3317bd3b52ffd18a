"""The command `webhook-runner`: its options, its list of commands, its entry point."""

from typing import Annotated

import typer

from webhook_runner import __version__
from webhook_runner.cli.descriptors import fill_in_closed
from webhook_runner.cli.lazy import Commands
from webhook_runner.cli.report import HELP

EXAMPLES = """Examples:

  webhook-runner serve

  webhook-runner config example > taskqueue.ini

  webhook-runner check-config --config taskqueue.ini

  webhook-runner serve --config taskqueue.ini

  webhook-runner send http://localhost:8000/hello --in 20s

  webhook-runner queues

  webhook-runner tasks list --state failed --since 1h

Exit codes: 0 done, 1 error, 2 usage or configuration, 3 not found,
4 conflict: the task has ended, or another daemon has the queue file,
69 no daemon or no broker, 74 queue file unusable, 78 broker objects missing
or wrong"""

app = typer.Typer(
    cls=Commands,
    name="webhook-runner",
    context_settings=HELP,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer hands the option on by position
    if wanted:
        typer.echo(f"webhook-runner {__version__}")
        raise typer.Exit


@app.callback(epilog=EXAMPLES)
def root(
    *,
    _wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn JSON tasks into HTTP requests: on time, with retries and roll-back."""


def main() -> None:
    fill_in_closed()
    app(prog_name="webhook-runner")
