"""What the suite does where no RabbitMQ can be had: all that needs none, and a loud word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
WITHOUT = """
import sys
import pytest
from tests.parts import broker, installation
installation.find_server = lambda: None
broker._docker_answers = lambda: False
sys.exit(pytest.main(sys.argv[1:]))
"""
CHOSEN = "test_tasks.py::test_an_unknown_field_is_ignored"


@pytest.mark.parametrize("ci", [False, True])
def test_a_missing_rabbitmq_is_told_loudly_and_fails_in_ci_only(ci: bool) -> None:
    ours = ("CI", "WEBHOOK_RUNNER_", "PYTEST_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    arguments = ["-q", "-n", "0", "-p", "no:cacheprovider", f"tests/system/{CHOSEN}"]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=ROOT,
        env=clean | ({"CI": "true"} if ci else {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == (1 if ci else 0), ran.stdout
    assert f"1 passed, 1 {'error' if ci else 'skipped'}" in ran.stdout
    assert "no RabbitMQ to test against" in ran.stdout
    assert "install rabbitmq-server" in ran.stdout
    assert ("1 tests were SKIPPED" in ran.stdout) is not ci
