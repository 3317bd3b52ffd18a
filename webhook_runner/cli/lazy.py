"""Commands that are loaded when called: help needs only their names and one line each."""

import importlib
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from webhook_runner.cli.report import EXPECTED, told

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("webhook_runner.cli.serve", "Run the daemon in the foreground."),
    "check-config": ("webhook_runner.cli.check", "Check the configuration, or print it."),
    "config": ("webhook_runner.cli.configuration", "Convert an old file, print an example."),
    "send": ("webhook_runner.cli.send", "Send tasks to a queue."),
    "doctor": ("webhook_runner.cli.doctor", "Look for what keeps it from working."),
    "salvage": ("webhook_runner.cli.salvage", "Save what can be read of a damaged queue file."),
    "simulate": ("webhook_runner.cli.simulate", "Show when a failing task would be retried."),
    "topology": ("webhook_runner.cli.topology", "Print RabbitMQ definitions."),
}


class Later(TyperCommand):
    """Stands for a command until it is called: a broker's client takes long to import."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, help=summary, short_help=summary, callback=None)
        self._module = module

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Any = None,  # noqa: ANN401 - typer's own types are private
        **extra: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        # The module is named by data, so it cannot be imported at the top without its weight.
        command = get_command(importlib.import_module(self._module).app)
        command.name = self.name
        return command.make_context(info_name, args, parent=parent, **extra)


class Commands(TyperGroup):
    """The root: commands by name, and every expected error as a line and an exit code."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own types are private
        super().__init__(**attributes)
        self.commands = {
            name: Later(name, module, summary) for name, (module, summary) in COMMANDS.items()
        }

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own types are private
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            raise typer.Exit(told(error)) from error
