"""What a process and its children take."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.race.tree import Tree
from tests.parts.guardian import Guardian

BUSY_CHILD = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; sleep 60' & wait"


@pytest.fixture
def tree() -> Iterator[Tree]:
    """A shell that waits for another one, which has been busy."""
    with (
        Guardian(Path("/nonexistent")) as guardian,
        subprocess.Popen(
            ["sh", "-c", BUSY_CHILD], stdout=subprocess.PIPE, start_new_session=True, text=True
        ) as process,
    ):
        guardian.guard(process.pid)
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        yield Tree(process.pid)
        guardian.close()


def test_what_children_take_counts(tree: Tree) -> None:
    assert tree.cpu_seconds() > 0


def test_memory_that_is_shared_counts_once_or_often(tree: Tree) -> None:
    assert 0 < tree.proportional_bytes() < tree.resident_bytes()


def test_who_is_gone_takes_nothing() -> None:
    gone = Tree(0x7FFF_FFFF)

    assert (gone.cpu_seconds(), gone.resident_bytes(), gone.proportional_bytes()) == (0, 0, 0)
