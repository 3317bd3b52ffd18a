"""What every command that asks a daemon has in common: where it is, who asks, how it is told."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps

import typer

from webhook_runner.cli.lazy import Group
from webhook_runner.cli.option import (
    ConfigOption,
    DaemonOption,
    OutputOption,
    TokenFileOption,
    TokenOption,
)
from webhook_runner.cli.report import HELP, Output

Command = Callable[..., None]

_KEYWORD = inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True, slots=True)
class Call:
    """Which daemon is asked, by whom; and the form of what is printed."""

    api: DaemonOption = None
    token: TokenOption = None
    token_file: TokenFileOption = None
    config: ConfigOption = None
    output: OutputOption = Output.TABLE

    @property
    def as_json(self) -> bool:
        """Whether standard output is for JSON alone."""
        return self.output is Output.JSON


def takes(kind: type) -> Callable[[Command], Command]:
    """Give a command the fields of ``kind`` as options, in place of its argument of that type."""
    options = [
        inspect.Parameter(each.name, _KEYWORD, default=each.default, annotation=each.type)
        for each in fields(kind)
    ]

    def give(function: Command) -> Command:
        listed = inspect.signature(function).parameters.values()
        (name,) = (each.name for each in listed if each.annotation is kind)
        own = [each.replace(kind=_KEYWORD) for each in listed if each.name != name]

        @wraps(function)
        def command(**given: object) -> None:
            value = kind(**{each.name: given.pop(each.name) for each in options})
            function(**{name: value}, **given)

        command.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in [*own, *options]}
        return command

    return give


asks = takes(Call)
"""Give a command the options of a ``Call``, which it is handed as its first argument."""


def single(function: Command, name: str, lines: str) -> typer.Typer:
    """Return an application of one command."""
    app = typer.Typer(add_completion=False)
    add(app, function, name, lines)
    return app


def group(name: str, summary: str, lines: str) -> typer.Typer:
    """Return an application whose commands are added to it."""
    app = typer.Typer(
        cls=Group,
        name=name,
        add_completion=False,
        context_settings=HELP,
        no_args_is_help=True,
        help=summary,
        epilog=examples(lines),
    )
    # Without a callback an application of one command would be that command.
    app.callback()(_nothing)
    return app


def add(app: typer.Typer, function: Command, name: str, lines: str) -> None:
    """Add a command with examples in its help, each a line."""
    app.command(name, context_settings=HELP, epilog=examples(lines))(function)


def examples(lines: str) -> str:
    """Return what stands at the end of a help page."""
    shown = "\n\n".join(f"  webhook-runner {line}" for line in lines.strip().splitlines())
    return f"Examples:\n\n{shown}"


def _nothing() -> None:
    """Do nothing before a command."""
