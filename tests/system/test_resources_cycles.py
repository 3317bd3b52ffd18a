"""A daemon that is started and stopped again and again leaves nothing behind."""

from pathlib import Path

import pytest
from rich.console import Console

from bench.cycles import carry_out, embedded, rabbitmq
from tests.parts.node import RabbitNode

pytestmark = pytest.mark.system

CYCLES = 3


def test_p7_starts_and_stops_leave_no_files_processes_or_sockets(tmp_path: Path) -> None:
    with embedded(tmp_path) as ground:
        assert carry_out(ground, CYCLES, tmp_path, Console(quiet=True)) == {}


@pytest.mark.rabbitmq
def test_p7_starts_and_stops_leave_no_queues_or_connections(
    tmp_path: Path, node: RabbitNode
) -> None:
    with rabbitmq(tmp_path, node) as ground:
        assert carry_out(ground, CYCLES, tmp_path, Console(quiet=True)) == {}
