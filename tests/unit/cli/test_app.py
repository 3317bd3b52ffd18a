"""Help, version, exit codes: what every command has in common."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from webhook_runner import __version__
from webhook_runner.cli.lazy import COMMANDS

ROOT = Path(__file__).parents[3]
INNER = {
    "config": ("convert", "example"),
    "tasks": ("list",),
    "queues": ("show",),
    "dead": ("list", "show", "export", "drop", "replay"),
    "invalid": ("list", "show", "export", "drop", "replay"),
}
EVERY = [(name,) for name in COMMANDS] + [
    (name, inner) for name, inners in INNER.items() for inner in inners
]


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("WEBHOOK_RUNNER_")}
    return subprocess.run(
        [sys.executable, "-m", "webhook_runner", *arguments],
        env=inherited | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", [(), *EVERY])
def test_the_help_of_every_command_shows_an_example(
    command: tuple[str, ...], flag: str, run: Run
) -> None:
    result = run(*command, flag)
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"webhook-runner {' '.join(command)}".strip() in result.output


def test_the_help_lists_every_command(run: Run) -> None:
    output = run("-h").output
    for name, (_, summary) in COMMANDS.items():
        assert name in output
        assert summary in output


@pytest.mark.parametrize("arguments", [["-h"], ["status", "-h"], ["dead", "replay", "-h"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from webhook_runner.cli.app import app;"
        f"assert CliRunner().invoke(app, {arguments}).exit_code == 0;"
        "heavy = ('aiormq', 'httpx2', 'fastapi', 'pydantic', 'rich.progress');"
        "print([m for m in heavy if m in sys.modules and hasattr(sys.modules[m], '__file__')"
        " and len(vars(sys.modules[m])) > 10])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").output == f"webhook-runner {__version__}\n"


def test_exit_codes_of_the_process(tmp_path: Path) -> None:
    bad = tmp_path / "bad.ini"
    bad.write_text("max_total = 0")
    assert process("--version").returncode == 0
    assert process("nonsense").returncode == 2
    assert process("check-config", "--nonsense").returncode == 2
    wrong = process("check-config", "--config", str(bad))
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert wrong.stderr.splitlines() == [
        f"error: {bad}:1: max_total: 0: write a whole number from 1 to 100000",
        "hint: `webhook-runner config example` shows every key with its default",
    ]
    good = tmp_path / "good.ini"
    good.write_text("")
    named = {"TASKQUEUE_CONFIG_FILE": str(good)}
    assert process("check-config", **named).returncode == 0
    assert process("simulate", "--queue", "x", **named).returncode == 3
    away = process("send", "http://h/", WEBHOOK_RUNNER_SERVER="amqp://127.0.0.1:1/", **named)
    assert away.returncode == 69
    assert away.stderr.startswith("error: amqp://127.0.0.1:1/")
    assert "hint: is RabbitMQ running" in away.stderr
    assert not any("Traceback" in each.stderr for each in (wrong, away))


def test_a_daemon_without_a_valid_configuration_does_not_start(tmp_path: Path) -> None:
    ended = process("serve", "--config", str(tmp_path / "missing.ini"))
    assert ended.returncode == 2
    assert "missing.ini: cannot be read: No such file or directory" in ended.stderr


def test_output_to_a_pipe_has_no_colours(tmp_path: Path) -> None:
    for arguments in (("-h",), ("nonsense",)):
        ended = process(*arguments, NO_COLOR="1")
        assert "\x1b" not in ended.stdout + ended.stderr
