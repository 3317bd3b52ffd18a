"""Every dispatcher and names that hang: whoever names another host is not held up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.dispatching import ENGINES
from tests.parts.own_network import in_own_network, need_own_network
from tests.parts.slow_names import QUICK

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("engine", ENGINES)
def test_names_that_hang_hold_nobody_up(engine: str) -> None:
    """A hundred leave room for names never heard of, hundreds for those that answered before."""
    need_own_network()
    with in_own_network(sys.executable, "-m", "tests.parts.slow_names", engine) as command:
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == {
        "known": QUICK,
        "new beside some": QUICK,
        "known beside many": QUICK,
        "slow that ended before": 0,
        "slow": ["dns"],
    }
