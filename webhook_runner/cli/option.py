"""Options that several commands share, and durations as people write them."""

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from webhook_runner.cli.report import Output

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration; else $TASKQUEUE_CONFIG_FILE, else /etc/taskqueue/taskqueue.ini,"
        " else none: an embedded broker and defaults.",
        show_default=False,
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of what is printed.")]
DaemonOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="HTTP API of a daemon, such as http://HOST:7676; else \\[api] listen of --config.",
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="WEBHOOK_RUNNER_TOKEN",
        show_envvar=True,
        help="One of the daemon's \\[api] tokens; others on this machine can see it here.",
    ),
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="A file with the token.")
]
UtcOption = Annotated[bool, typer.Option("--utc", help="Times in UTC, not in the local zone.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(text: str) -> float:
    """Return the seconds meant by ``90``, ``5m``, ``1h30m`` or ``2d``.

    Raises:
        typer.BadParameter: anything else.

    """
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no duration such as 90, 5m, 1h30m or 2d")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))


def since(text: str | None) -> float | str | None:
    """Return a time: epoch seconds for ``1h`` (ago), else as it was written."""
    if text is None or not _DURATION.fullmatch(text):
        return text
    return time.time() - seconds(text)
