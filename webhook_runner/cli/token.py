"""`token`: a fresh token for the HTTP API, and the line that lets it in."""

import hashlib
import re
import secrets
from typing import Annotated, Literal

import typer

from webhook_runner.cli.call import single
from webhook_runner.cli.option import OutputOption
from webhook_runner.cli.report import CommandError, Exit, Output, print_json

_EXAMPLES = """token --name ops
token --name grafana --role read --output json"""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def token(
    *,
    name: Annotated[str, typer.Option(help="Whose it is, for the log.")] = "ops",
    role: Annotated[
        Literal["full", "read"], typer.Option(help="read may look, and change nothing.")
    ] = "full",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a token: whoever asks has it, the configuration only its hash."""
    if not _NAME.fullmatch(name):
        raise CommandError(
            f"{name!r} is no name of a token", "letters, digits, _ . -, at most 64", Exit.USAGE
        )
    fresh = secrets.token_urlsafe(32)
    hashed = "sha256:" + hashlib.sha256(fresh.encode()).hexdigest()
    line = f'tokens = [{{name = "{name}", role = "{role}", hash = "{hashed}"}}]'
    if output is Output.JSON:
        print_json({"token": fresh, "name": name, "role": role, "hash": hashed, "line": line})
        return
    typer.echo(fresh)
    typer.echo(f"\nfor the table [api] of the daemon's configuration:\n\n{line}", err=True)


app = single(token, "token", _EXAMPLES)
