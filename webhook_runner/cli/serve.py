"""`serve`: run the daemon in the foreground."""

import os
from typing import Annotated, Literal

import typer

from webhook_runner.cli.option import ConfigOption
from webhook_runner.cli.report import HELP
from webhook_runner.config import loader
from webhook_runner.process import compose

EXAMPLES = """Examples:

  webhook-runner serve

  webhook-runner serve --config taskqueue.ini --log-level debug --log-format console

  WEBHOOK_RUNNER_SERVER=amqp://mq.example.com/ webhook-runner serve"""

app = typer.Typer(add_completion=False)


@app.command("serve", context_settings=HELP, epilog=EXAMPLES)
def serve(
    config: ConfigOption = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Overrides log.level of the file.", show_default=False),
    ] = None,
    log_format: Annotated[
        Literal["auto", "json", "console", "logfmt"] | None,
        typer.Option(help="Overrides log.format of the file.", show_default=False),
    ] = None,
) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C; SIGHUP reads the file anew.

    Without a configuration file it keeps tasks in a file of its own, and says how to hand one in.
    """
    overrides = {"log.level": log_level, "log.format": log_format}
    raise typer.Exit(
        compose.serve(lambda: loader.load(config, os.environ, overrides, to_serve=True))
    )
