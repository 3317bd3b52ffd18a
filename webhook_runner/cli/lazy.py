"""Commands that are loaded when called: help needs only their names and one line each."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from types import ModuleType
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
    "status": ("webhook_runner.cli.tasks:status_app", "Show how a task is."),
    "attempts": ("webhook_runner.cli.tasks:attempts_app", "List the attempts of a task."),
    "tasks": ("webhook_runner.cli.tasks:tasks_app", "List tasks."),
    "watch": ("webhook_runner.cli.live:watch_app", "Follow a task until it has ended."),
    "tail": ("webhook_runner.cli.live:tail_app", "Follow what happens to all tasks."),
    "cancel": ("webhook_runner.cli.steer:cancel_app", "Cancel tasks."),
    "run": ("webhook_runner.cli.steer:run_app", "Let a scheduled task run now."),
    "replay": ("webhook_runner.cli.steer:replay_app", "Let a task that has ended run anew."),
    "queues": ("webhook_runner.cli.queues:queues_app", "Show how the queues are."),
    "pause": ("webhook_runner.cli.queues:pause_app", "Let a queue start no more attempts."),
    "resume": ("webhook_runner.cli.queues:resume_app", "Let a paused queue go on."),
    "limits": ("webhook_runner.cli.queues:limits_app", "Change the limits of a queue."),
    "purge": ("webhook_runner.cli.queues:purge_app", "Throw away what is in a queue."),
    "destinations": (
        "webhook_runner.cli.destinations:destinations_app",
        "Show which hosts are left alone, decide on it.",
    ),
    "dead": ("webhook_runner.cli.aside:dead_app", "Look at dead letters, replay or drop them."),
    "invalid": (
        "webhook_runner.cli.aside:invalid_app",
        "Look at invalid messages, mend them.",
    ),
    "token": ("webhook_runner.cli.token", "Make a token for the HTTP API."),
    "export": ("webhook_runner.cli.export", "Write tasks that have ended as JSON lines."),
    "doctor": ("webhook_runner.cli.doctor", "Look for what keeps it from working."),
    "salvage": ("webhook_runner.cli.salvage", "Save what can be read of a damaged queue file."),
    "simulate": ("webhook_runner.cli.simulate", "Show when a failing task would be retried."),
    "topology": ("webhook_runner.cli.topology", "Print RabbitMQ definitions."),
}


_HEAVY = (
    "httpx2",
    "rich.progress",
    "webhook_runner.cli.sending",
    "webhook_runner.config.loader",
    "webhook_runner.process.compose",
)
"""What commands import that their help does not need."""


class _Postponed(ModuleType):
    """A module that is loaded when something of it is asked for; until then it has nothing."""

    def __getattr__(self, name: str) -> object:
        spec = self.__spec__
        if spec is None or spec.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)


def postpone(name: str) -> None:
    """Let a module that is imported from now on be loaded when it is first used."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Postponed
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


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
        for name in _HEAVY:
            postpone(name)
        # The module is named by data, so it cannot be imported at the top without its weight.
        module, _, app = self._module.partition(":")
        command = get_command(getattr(importlib.import_module(module), app or "app"))
        command.name = self.name
        return command.make_context(info_name, args, parent=parent, **extra)


class Group(TyperGroup):
    """Commands under one name, or under none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own types are private
        for each in self.get_params(ctx):
            # Whether None is a bool is asked of pydantic, which takes 70 ms to import.
            if getattr(each, "is_flag", False) and each.default is None:
                each.default = False
        return super().parse_args(ctx, args)


class Commands(Group):
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
