"""`check-config`: every problem of the configuration at once, or the settings in force."""

import os
from typing import Annotated

import typer

from webhook_runner.cli.option import ConfigOption
from webhook_runner.cli.report import HELP, Exit, print_json, warn
from webhook_runner.config.describe import as_json, describe
from webhook_runner.config.first_run import first_run
from webhook_runner.config.loader import Loaded, load
from webhook_runner.errors import ConfigError

EXAMPLES = """Examples:

  webhook-runner check-config

  webhook-runner check-config --config taskqueue.ini --print

  webhook-runner check-config --json"""

app = typer.Typer(add_completion=False)


@app.command(context_settings=HELP, epilog=EXAMPLES)
def check_config(
    *,
    config: ConfigOption = None,
    show: Annotated[
        bool, typer.Option("--print", help="Print what is in force, and where it came from.")
    ] = False,
    as_object: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Check file, environment and secrets; exit 0 when the daemon would start with them, else 2."""
    try:
        loaded = load(config, os.environ, to_serve=True)
    except ConfigError as error:
        if not as_object:
            raise
        print_json({"ok": False, "problems": list(error.problems)})
        raise typer.Exit(Exit.USAGE) from error
    _tell(loaded, show=show, as_object=as_object)


def _tell(loaded: Loaded, *, show: bool, as_object: bool) -> None:
    if as_object:
        print_json({"ok": True, **as_json(loaded)})
        return
    warn(loaded.warnings)
    if told := first_run(loaded):
        typer.echo(told.text(), err=show)
    queues = len(loaded.settings.queues)
    said = f"{loaded.path or 'defaults'}: ok, {queues} queue{'s' if queues > 1 else ''}"
    typer.echo(describe(loaded) if show else said, nl=not show)
