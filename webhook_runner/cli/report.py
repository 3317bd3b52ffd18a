"""What a command tells its caller: exit codes, error lines with a hint, tables and JSON."""

import json
from collections.abc import Sequence
from enum import IntEnum, StrEnum

import typer

from webhook_runner.errors import (
    BrokerUnavailableError,
    ConfigError,
    InvalidTaskError,
    UnknownQueueError,
)

HELP = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command."""
NOTHING_SENT = "nothing was sent; the daemon would set this message aside"


class Exit(IntEnum):
    """Exit codes. 69 is EX_UNAVAILABLE of sysexits.h."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNAVAILABLE = 69


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


class CommandError(Exception):
    """A command cannot go on; tells why, what helps, and the exit code."""

    def __init__(self, text: str, hint: str = "", code: Exit = Exit.ERROR) -> None:
        super().__init__(text)
        self.hint = hint
        self.code = code


EXPECTED = (
    BrokerUnavailableError,
    CommandError,
    ConfigError,
    InvalidTaskError,
    UnknownQueueError,
)


def told(error: Exception) -> Exit:
    """Print an expected error on stderr, a hint below it, and return the exit code."""
    code, hint = _meaning(error)
    for line in str(error).splitlines():
        typer.echo(f"error: {line}", err=True)
    if hint:
        typer.echo(f"hint: {hint}", err=True)
    return code


def _meaning(error: Exception) -> tuple[Exit, str]:
    match error:
        case CommandError():
            return error.code, error.hint
        case ConfigError():
            return Exit.USAGE, "`webhook-runner config example` shows every key with its default"
        case InvalidTaskError():
            return Exit.USAGE, NOTHING_SENT
        case UnknownQueueError():
            return Exit.NOT_FOUND, "the daemon makes its queues; configure it there and start it"
        case BrokerUnavailableError():
            return Exit.UNAVAILABLE, "is RabbitMQ running, and is `server` right? See check-config"
        case _:
            return Exit.ERROR, ""


def warn(lines: Sequence[str]) -> None:
    for line in lines:
        typer.echo(f"warning: {line}", err=True)


def print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as they need, so that lines can be cut and grepped."""
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
