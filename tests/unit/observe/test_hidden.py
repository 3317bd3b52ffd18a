"""Packages that are not wanted in memory."""

import importlib
import subprocess
import sys

import pytest

from webhook_runner.observe.hidden import hidden

SELDOM = "this"


def test_what_is_hidden_cannot_be_imported_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, SELDOM, raising=False)
    with hidden(SELDOM), pytest.raises(ImportError):
        importlib.import_module(SELDOM)

    assert importlib.import_module(SELDOM).__name__ == SELDOM


def test_what_was_imported_before_is_left_alone() -> None:
    with hidden("json"):
        assert importlib.import_module("json") is sys.modules["json"]
    assert "json" in sys.modules


@pytest.mark.parametrize("library", ["rich", "aiormq", "httpcore2"])
def test_a_daemon_does_without_what_few_need(library: str) -> None:
    asked = f"import webhook_runner.process.compose, sys; print({library!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
