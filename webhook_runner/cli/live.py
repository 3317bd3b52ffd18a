"""`watch`, `tail`: what happens, while it happens."""

from collections.abc import Iterable
from typing import Annotated

import typer

from webhook_runner.cli.call import Call, asks, single
from webhook_runner.cli.complete import queue_names
from webhook_runner.cli.daemon import daemon
from webhook_runner.cli.option import UtcOption
from webhook_runner.cli.report import Exit
from webhook_runner.cli.shown import event_line, show_line
from webhook_runner.client import TaskEvent

_WATCH = """watch order-7
watch order-7 && echo done
watch order-7 --output json"""
_TAIL = """tail
tail --queue mail --state failed,expired
tail --output json"""
_INTERRUPTED = 130


@asks
def watch(
    call: Call,
    task_id: Annotated[str, typer.Argument(metavar="ID", help="Of the task.")],
    *,
    utc: UtcOption = False,
) -> None:
    """Follow a task until it has ended; exit 0 when it succeeded, else 1."""
    last: TaskEvent | None = None
    try:
        with daemon(call) as client:
            last = _follow(call, client.watch(task_id), utc=utc)
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    succeeded = last is not None and last.state == "succeeded"
    raise typer.Exit(Exit.OK if succeeded else Exit.ERROR)


@asks
def tail(
    call: Call,
    *,
    queue: Annotated[
        str, typer.Option("--queue", "-q", metavar="NAME", autocompletion=queue_names)
    ] = "",
    state: Annotated[
        str, typer.Option(metavar="STATE", help="Only what leads to these, with commas.")
    ] = "",
    utc: UtcOption = False,
) -> None:
    """Follow what happens in this daemon until Ctrl-C."""
    try:
        with daemon(call) as client:
            _follow(call, client.events(queue=queue, state=state), utc=utc)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.OK) from None


def _follow(call: Call, events: Iterable[TaskEvent], *, utc: bool) -> TaskEvent | None:
    """Print events until there are no more; return the last."""
    event: TaskEvent | None = None
    for event in events:
        if call.as_json:
            show_line({"event": event.name, **event.more})
        else:
            typer.echo(event_line(event, utc=utc))
    return event


watch_app = single(watch, "watch", _WATCH)
tail_app = single(tail, "tail", _TAIL)
