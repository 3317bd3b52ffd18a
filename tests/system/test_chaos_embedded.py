"""One daemon on the embedded broker, killed, frozen and restarted under load: nothing is lost."""

from pathlib import Path

import pytest
from rich.console import Console

from bench.faults import Faults
from bench.plans import SEED
from bench.run import Run, carry_out

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def test_kills_lose_nothing_and_repeat_no_more_than_was_under_way(tmp_path: Path) -> None:
    faults = Faults(kills=6, freezes=1)
    run = Run("embedded", 1, 1000, SEED, tempo="brisk", faults=faults)

    found = carry_out(run, tmp_path, Console(quiet=True)).findings

    assert found.passed, repr(found)
    assert (found.accepted, found.faults) == (run.tasks, 7)


def test_restarts_under_load_lose_and_repeat_nothing(tmp_path: Path) -> None:
    run = Run("embedded", 1, 600, SEED, tempo="brisk", faults=Faults(restarts=3))

    found = carry_out(run, tmp_path, Console(quiet=True)).findings

    assert found.passed, repr(found)
    assert (found.accepted, found.duplicated, found.bound) == (run.tasks, 0, 0)
