"""`export`: tasks that have ended as JSON lines, read from the store itself."""

import asyncio
import os
import time
from typing import Annotated

import msgspec
import typer

from webhook_runner.cli.option import ConfigOption, seconds
from webhook_runner.cli.report import HELP, CommandError, Exit, warn
from webhook_runner.config.loader import load
from webhook_runner.config.secrets import store_address
from webhook_runner.errors import NoStoreError, StoreError, StoreUnavailableError
from webhook_runner.observe.fanout import Fanout
from webhook_runner.ports import Store
from webhook_runner.process.clock import SystemClock
from webhook_runner.store.open_store import make_store

EXAMPLES = """Examples:

  webhook-runner export > ended.jsonl

  webhook-runner export --older 7d --config taskqueue.ini > ended.jsonl"""

app = typer.Typer(add_completion=False)


@app.command(context_settings=HELP, epilog=EXAMPLES)
def export(
    *,
    older: Annotated[
        str, typer.Option("--older", metavar="DURATION", help="Only what ended so long ago: 7d.")
    ] = "0",
    config: ConfigOption = None,
) -> None:
    r"""Write tasks that have ended to standard output, one JSON object a line, oldest end first.

    The daemon may run meanwhile; it forgets them after \[store] retention_days.
    """
    before = time.time() - seconds(older)
    loaded = load(config, os.environ)
    warn(loaded.warnings)
    settings = loaded.settings
    try:
        # Nobody watches: what goes wrong is raised.
        store = make_store(store_address(settings), settings.store, SystemClock(), Fanout())
        count = asyncio.run(_written(store, before))
    except (NoStoreError, StoreError, StoreUnavailableError) as error:
        raise CommandError(str(error), code=Exit.ERROR) from error
    typer.echo(f"{count} tasks", err=True)


async def _written(store: Store, before: float) -> int:
    count = 0
    try:
        async for line in store.export(before):
            typer.echo(msgspec.json.encode(line))
            count += 1
    finally:
        await store.close()
    return count
