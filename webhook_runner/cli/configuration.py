"""`config`: convert a file in taskqueue's syntax, print the sample."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from webhook_runner.cli.report import HELP, CommandError
from webhook_runner.config.convert import convert
from webhook_runner.config.sample import sample

_CONVERT = """Examples:

  webhook-runner config convert /etc/taskqueue/taskqueue.ini > new.ini

  webhook-runner config convert - < taskqueue.ini"""
_EXAMPLE = """Examples:

  webhook-runner config example > taskqueue.ini"""

app = typer.Typer(
    add_completion=False,
    context_settings=HELP,
    no_args_is_help=True,
    epilog=_CONVERT + "\n\n  webhook-runner config example > taskqueue.ini",
    help="Convert an old configuration, print an example.",
)


@app.command("convert", context_settings=HELP, epilog=_CONVERT)
def convert_file(
    old: Annotated[str, typer.Argument(metavar="OLD.ini", help="File, or - for stdin.")],
) -> None:
    """Print a file in taskqueue's INI syntax as TOML that does the same."""
    try:
        raw = sys.stdin.buffer.read() if old == "-" else Path(old).read_bytes()
        text = raw.decode()
    except OSError as error:
        raise CommandError(f"{old} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{old} is not UTF-8", "save it as UTF-8 first") from error
    typer.echo(convert(text), nl=False)


@app.command("example", context_settings=HELP, epilog=_EXAMPLE)
def example() -> None:
    """Print the sample configuration: every key, its default, its meaning."""
    typer.echo(sample(), nl=False)
