"""The command, run in this process with an environment of its own."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from webhook_runner.cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    for name in list(os.environ):
        if name.startswith(("WEBHOOK_RUNNER_", "TASKQUEUE_")):
            monkeypatch.delenv(name)
    config = tmp_path / "taskqueue.ini"
    config.write_text("")
    monkeypatch.setenv("TASKQUEUE_CONFIG_FILE", str(config))

    def ran(*arguments: str, stdin: str | None = None, config_text: str | None = None) -> Result:
        if config_text is not None:
            config.write_text(config_text)
        return CliRunner().invoke(app, arguments, input=stdin)

    return ran


@pytest.fixture
def local_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone that is not UTC."""
    monkeypatch.setenv("TZ", "XXX-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
