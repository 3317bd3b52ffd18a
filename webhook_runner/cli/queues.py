"""`queues`, `pause`, `resume`, `limits`, `purge`: how queues are, and how they are to be."""

from typing import Annotated

import typer

from webhook_runner.cli.call import Call, add, asks, examples, single
from webhook_runner.cli.complete import queue_names
from webhook_runner.cli.confirm import confirm
from webhook_runner.cli.daemon import daemon
from webhook_runner.cli.lazy import Group
from webhook_runner.cli.option import UtcOption, YesOption
from webhook_runner.cli.report import HELP, CommandError, Exit
from webhook_runner.cli.shown import moment, show_json, show_pairs, show_table
from webhook_runner.client import QueueInfo

_QUEUES = """queues
queues --output json
queues show mail"""
_SHOW = """queues show mail
queues show mail --output json"""
_PAUSE = """pause mail"""
_RESUME = """resume mail"""
_LIMITS = """limits mail
limits mail --concurrency 5 --rate 10/s
limits mail --set timeout=20 --set retry_limit=3
limits mail --reset"""
_PURGE = """purge mail
purge mail --scheduled --yes"""

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Of the queue.", autocompletion=queue_names)
]

queues_app = typer.Typer(
    cls=Group, name="queues", add_completion=False, invoke_without_command=True
)


@asks
def queues(call: Call, ctx: typer.Context) -> None:
    """Show all queues: what is in them, and how they are."""
    if ctx.invoked_subcommand:
        return
    with daemon(call) as client:
        found = client.queues()
    if call.as_json:
        show_json(found)
        return
    columns = ("queue", "state", "ready", "running", "scheduled", "dead", "invalid", "lag")
    show_table(columns, [_row(each) for each in found])


def _row(queue: QueueInfo) -> tuple[object, ...]:
    lag = None if queue.lag_seconds is None else f"{queue.lag_seconds:.1f}s"
    counts = (queue.ready, queue.running, queue.scheduled, queue.dead, queue.invalid)
    return (queue.name, _state(queue), *("?" if each is None else each for each in counts), lag)


def _state(queue: QueueInfo) -> str:
    return "paused" if queue.paused else queue.condition


@asks
def show(call: Call, name: Name, *, utc: UtcOption = False) -> None:
    """Show one queue with its limits."""
    with daemon(call) as client:
        found = client.queue(name)
    _tell(call, found, utc=utc)


def _tell(call: Call, queue: QueueInfo, *, utc: bool = False) -> None:
    if call.as_json:
        show_json(queue)
        return
    show_pairs(
        [
            ("queue", queue.name),
            ("state", _state(queue)),
            ("ready", queue.ready),
            ("running", queue.running),
            ("scheduled", queue.scheduled),
            ("dead", queue.dead),
            ("invalid", queue.invalid),
            ("oldest", moment(queue.oldest_at, utc=utc)),
            ("lag_seconds", queue.lag_seconds),
            *(
                (name, f"{value} (changed)" if name in queue.changed else value)
                for name, value in queue.limits.items()
            ),
        ]
    )


@asks
def pause(call: Call, name: Name) -> None:
    """Let a queue start no more attempts, on all daemons and after a restart too."""
    with daemon(call) as client:
        _tell(call, client.pause(name))


@asks
def resume(call: Call, name: Name) -> None:
    """Let a paused queue go on."""
    with daemon(call) as client:
        _tell(call, client.resume(name))


@asks
def limits(
    call: Call,
    name: Name,
    *,
    concurrency: Annotated[int | None, typer.Option(metavar="N", help="Attempts at once.")] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="N/s", help='Such as 10/s, 90/m, "unlimited".')
    ] = None,
    bucket_size: Annotated[int | None, typer.Option(metavar="N", help="Burst of rate.")] = None,
    more: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another limit; may repeat."),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="All as in the configuration.")] = False,
) -> None:
    """Show the limits of a queue, or change them at run time."""
    named = {"concurrency": concurrency, "rate": rate, "bucket_size": bucket_size}
    given: dict[str, float | str | None] = {
        key: value for key, value in named.items() if value is not None
    }
    given |= dict(_pair(each) for each in more or ())
    if given and reset:
        raise CommandError("--reset takes no other limits", code=Exit.USAGE)
    with daemon(call) as client:
        if reset:
            given = dict.fromkeys(client.queue(name).changed)
        _tell(call, client.change(name, **given) if given else client.queue(name))


def _pair(text: str) -> tuple[str, float | str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise CommandError(f"{text!r}: write --set KEY=VALUE", code=Exit.USAGE)
    for kind in (int, float):
        try:
            return key, kind(value)
        except ValueError:
            continue
    return key, value


@asks
def purge(
    call: Call,
    name: Name,
    *,
    scheduled: Annotated[
        bool, typer.Option("--scheduled", help="Also what waits for its time.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Throw away the tasks that are ready in a queue."""
    with daemon(call) as client:
        if not yes:
            found = client.queue(name)
            delayed = "an unknown number of" if found.scheduled is None else found.scheduled
            also = f" and {delayed} scheduled" if scheduled else ""
            confirm(f"throw away {found.ready} ready{also} tasks of {name}", yes=yes)
        gone = client.purge(name, scheduled=scheduled)
    if call.as_json:
        show_json(gone)
        return
    also = f" and {gone.scheduled} scheduled" if scheduled else ""
    typer.echo(f"threw away {gone.ready} ready{also} tasks")


queues_app.callback(invoke_without_command=True, context_settings=HELP, epilog=examples(_QUEUES))(
    queues
)
add(queues_app, show, "show", _SHOW)
pause_app = single(pause, "pause", _PAUSE)
resume_app = single(resume, "resume", _RESUME)
limits_app = single(limits, "limits", _LIMITS)
purge_app = single(purge, "purge", _PURGE)
