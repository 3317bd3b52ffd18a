"""`destinations`: which hosts are called, which are left alone, and what a person decides."""

from collections.abc import Sequence
from typing import Annotated

import typer

from webhook_runner.cli.call import Call, add, asks, examples
from webhook_runner.cli.daemon import daemon
from webhook_runner.cli.lazy import Group
from webhook_runner.cli.option import UtcOption
from webhook_runner.cli.report import HELP
from webhook_runner.cli.shown import moment, show_json, show_table
from webhook_runner.client import DestinationInfo

_ALL = """destinations
destinations list --state open
destinations open api.example.com:443
destinations close api.example.com:443"""
_LIST = """destinations list
destinations list --state open --output json"""
_OPEN = """destinations open api.example.com:443"""
_CLOSE = """destinations close api.example.com:443
destinations close api.example.com:443 --keep"""
_COLUMNS = ("destination", "state", "until", "requests", "failures", "held", "forced")

Name = Annotated[str, typer.Argument(metavar="HOST:PORT", help="Such as example.com:443.")]
StateOption = Annotated[
    str, typer.Option(metavar="STATE", help="Only closed, open, half_open or paused ones.")
]

destinations_app = typer.Typer(
    cls=Group, name="destinations", add_completion=False, invoke_without_command=True
)


@asks
def destinations(call: Call, ctx: typer.Context) -> None:
    """Show the hosts and ports that the daemon calls, and how they stand."""
    if not ctx.invoked_subcommand:
        _list(call, "", utc=False)


@asks
def list_destinations(call: Call, *, state: StateOption = "", utc: UtcOption = False) -> None:
    """List the destinations that the daemon has called lately."""
    _list(call, state, utc=utc)


def _list(call: Call, state: str, *, utc: bool) -> None:
    with daemon(call) as client:
        found = list(client.destinations(state=state))
    if call.as_json:
        show_json(found)
        return
    _show(sorted(found, key=lambda each: each.state == "closed"), utc=utc)


def _show(found: Sequence[DestinationInfo], *, utc: bool = False) -> None:
    rows = [
        (
            each.destination,
            each.state,
            moment(each.until, utc=utc),
            each.requests,
            each.failures,
            each.held,
            each.forced,
        )
        for each in found
    ]
    show_table(_COLUMNS, rows)


@asks
def open_destination(call: Call, name: Name) -> None:
    """Call it no more, on all daemons and after a restart too, until it is closed."""
    with daemon(call) as client:
        _tell(call, client.open_destination(name))


@asks
def close_destination(
    call: Call,
    name: Name,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="From now on, whatever it answers.")] = False,
) -> None:
    """Call it again, and forget what it did before."""
    with daemon(call) as client:
        _tell(call, client.close_destination(name, keep=keep))


def _tell(call: Call, one: DestinationInfo) -> None:
    if call.as_json:
        show_json(one)
    else:
        _show([one])


destinations_app.callback(
    invoke_without_command=True, context_settings=HELP, epilog=examples(_ALL)
)(destinations)
add(destinations_app, list_destinations, "list", _LIST)
add(destinations_app, open_destination, "open", _OPEN)
add(destinations_app, close_destination, "close", _CLOSE)
