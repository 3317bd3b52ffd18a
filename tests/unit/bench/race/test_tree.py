"""What a process and all that it started take."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.race.tree import Tree
from tests.parts.guardian import Guardian

# One that was busy, one whose parent has ended, and one with a session of its own.
FAMILY = """
sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo busy $$; exec sleep 60' &
sh -c 'sleep 60 >/dev/null & echo orphan $!'
setsid sh -c 'echo apart $$; exec sleep 60' &
wait
"""
KINDS = {"busy", "orphan", "apart"}


@pytest.fixture
def family() -> Iterator[dict[str, int]]:
    """Process ids by kind, and of the shell that started them."""
    with (
        Guardian(Path("/nonexistent")) as guardian,
        subprocess.Popen(
            ["sh", "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True, text=True
        ) as process,
    ):
        guardian.guard(process.pid)
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in KINDS]
        found = {kind: int(pid) for kind, pid in lines} | {"shell": process.pid}
        guardian.guard(found["apart"])
        yield found
        guardian.close()


def test_all_descendants_belong_to_it_and_all_of_its_session(family: dict[str, int]) -> None:
    assert family.keys() > KINDS
    assert Tree(family["shell"]).processes() == set(family.values())


def test_what_they_take_is_added_up(family: dict[str, int]) -> None:
    whole, one = Tree(family["shell"]), Tree(family["busy"])

    assert whole.cpu_seconds() >= one.cpu_seconds() > 0
    assert one.resident_bytes() < whole.resident_bytes()


def test_memory_that_is_shared_counts_once_or_often(family: dict[str, int]) -> None:
    tree = Tree(family["shell"])

    assert 0 < tree.proportional_bytes() < tree.resident_bytes()


def test_who_is_gone_takes_nothing() -> None:
    gone = Tree(0x7FFF_FFFF)

    assert (gone.cpu_seconds(), gone.resident_bytes(), gone.proportional_bytes()) == (0, 0, 0)
