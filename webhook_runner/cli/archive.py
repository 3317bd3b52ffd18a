"""`export`: tasks that have ended as JSON lines, read from the store itself."""

import asyncio
import os
import time
from typing import Annotated

import typer

from webhook_runner.cli.option import ConfigOption, seconds
from webhook_runner.cli.report import HELP, CommandError, Exit, warn
from webhook_runner.config.loader import load
from webhook_runner.errors import NoStoreError, StoreError, StoreUnavailableError

EXAMPLES = """Examples:

  webhook-runner export > ended.jsonl

  webhook-runner export --older 7d --config taskqueue.ini > last-week.jsonl"""

app = typer.Typer(add_completion=False)


@app.command(context_settings=HELP, epilog=EXAMPLES)
def export(
    *,
    older: Annotated[
        str, typer.Option("--older", metavar="DURATION", help="Only what ended so long ago: 7d.")
    ] = "0",
    config: ConfigOption = None,
) -> None:
    """Write the tasks that have ended to standard output, with their attempts, oldest end first.

    The daemon may run meanwhile. It forgets them after [store] retention_days.
    """
    loaded = load(config, os.environ)
    warn(loaded.warnings)
    before = time.time() - seconds(older)
    try:
        count = asyncio.run(_write(loaded, before))
    except (NoStoreError, StoreError, StoreUnavailableError) as error:
        raise CommandError(str(error), code=Exit.ERROR) from error
    typer.echo(f"{count} tasks", err=True)


""" if False else """
