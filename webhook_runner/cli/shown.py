"""How what a daemon tells is printed: tables with times and colours, or JSON."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import typer

from webhook_runner.cli.report import print_json
from webhook_runner.client import TaskEvent

_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "expired": "red",
    "invalid": "red",
    "cancelled": "yellow",
    "held": "yellow",
    "paused": "yellow",
    "open": "red",
    "half_open": "yellow",
    "running": "cyan",
}
_STANDS = "task.state"
_OF_A_STAND = frozenset({"reason", "due_at", "last_status", "last_error"})
_OF_EVERY_EVENT = frozenset({"at", "id", "run", "queue", "state", "attempt"})


def show_json(value: object) -> None:
    """Print values as one document, times in UTC."""
    print_json(plain(value))


def show_line(value: object) -> None:
    """Print values as one line of a stream of JSON."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")))


def plain(value: object) -> object:
    """Return what JSON knows for the client's values."""
    found = msgspec.to_builtins(value, builtin_types=(datetime, bytes), enc_hook=_plain)
    return _mended(found)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _mended(value: object) -> object:
    if isinstance(value, datetime):
        text = value.astimezone(UTC).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _mended(each) for name, each in value.items() if not isinstance(each, bytes)}
    if isinstance(value, list):
        return [_mended(each) for each in value]
    return value


def moment(at: datetime | None, *, utc: bool) -> str:
    """Return a time for people, to the second, in the local zone or in UTC."""
    if at is None:
        return ""
    there = at.astimezone(UTC) if utc else at.astimezone()
    return there.isoformat(" ", "seconds").replace("+00:00", "Z")


def cell(value: object) -> str:
    """Return a value for a table: nothing for None, no decimals for what has none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns as wide as they need; words for states are coloured on a terminal."""
    lines = [list(columns), *([cell(each) for each in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    coloured = has_colours()
    for line in lines:
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        if coloured:
            cells = [_painted(text) for text in cells]
        typer.echo("  ".join(cells).rstrip())


def note_limit(found: int, limit: int | None) -> None:
    """Say on standard error that there may be more than was listed."""
    if found == limit:
        typer.echo(f"note: --limit {limit} is reached; --limit 0 lists all", err=True)


def show_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values below each other, those that are not empty."""
    known = [(name, cell(value)) for name, value in pairs]
    kept = [(name, text) for name, text in known if text]
    width = max((len(name) for name, _ in kept), default=0)
    coloured = has_colours()
    for name, text in kept:
        typer.echo(f"{name.ljust(width)}  {_painted(text) if coloured else text}")


def event_line(event: TaskEvent, *, utc: bool) -> str:
    """Return an event as one line for people."""
    words = [moment(event.at, utc=utc), event.name.ljust(22)]
    words += [word for word in (event.id, event.queue, event.state) if word]
    words += [f"attempt={event.attempt}"] if event.attempt else []
    more = (
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in event.more.items()
        if value not in (None, "", {}) and _is_told(event, name)
    )
    line = "  ".join([*words, *more]).rstrip()
    colour = _COLOURS.get(event.state)
    return typer.style(line, fg=colour) if colour and has_colours() else line


def _is_told(event: TaskEvent, name: str) -> bool:
    """Whether a line has room for this; how a task stands when one begins to watch is long."""
    if event.name == _STANDS:
        return name in _OF_A_STAND
    return name not in _OF_EVERY_EVENT


def has_colours() -> bool:
    """Whether standard output is for eyes that want colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _painted(text: str) -> str:
    colour = _COLOURS.get(text.strip())
    return typer.style(text, fg=colour) if colour else text
