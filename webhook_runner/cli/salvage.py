"""`salvage`: the messages of a damaged queue file, into a new one."""

from typing import Annotated

import typer

from webhook_runner.broker.sqlite.salvage import salvage as salvage_file
from webhook_runner.cli.report import HELP, CommandError, Exit, print_table
from webhook_runner.errors import QueueFileError

EXAMPLES = """Examples:

  webhook-runner salvage queue.db new.db"""

app = typer.Typer(add_completion=False)


@app.command(context_settings=HELP, epilog=EXAMPLES)
def salvage(
    file: Annotated[str, typer.Argument(help="The damaged file; its -wal file is read too.")],
    new_file: Annotated[str, typer.Argument(help="The file to make.")],
) -> None:
    """Copy what can be read of a damaged queue file; stop the daemon first."""
    try:
        saved = salvage_file(file, new_file)
    except QueueFileError as error:
        raise CommandError(str(error), code=Exit.ERROR) from error
    print_table(("table", "saved"), [(table, str(count)) for table, count in saved.items()])
