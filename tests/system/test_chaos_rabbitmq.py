"""Three daemons, a RabbitMQ and the line between them, disturbed in every way under load."""

from pathlib import Path

import pytest
from rich.console import Console

from bench.faults import Faults
from bench.plans import EACH_ONCE, SEED
from bench.run import Run, carry_out
from tests.parts.node import RabbitNode

pytestmark = [pytest.mark.system, pytest.mark.rabbitmq, pytest.mark.timeout(600)]


def test_no_fault_loses_a_task_or_repeats_more_than_was_unsettled(
    tmp_path: Path, own_node: RabbitNode
) -> None:
    run = Run("rabbitmq", 3, 1200, SEED, tempo="brisk", faults=EACH_ONCE)

    result = carry_out(run, tmp_path, Console(quiet=True), own_node)

    found = result.findings
    assert found.passed, repr(found)
    assert found.accepted >= run.tasks
    assert {event.kind for event in result.events} == set(EACH_ONCE.in_order(SEED))


def test_restarts_under_load_lose_and_repeat_nothing(tmp_path: Path, own_node: RabbitNode) -> None:
    run = Run("rabbitmq", 3, 600, SEED, tempo="brisk", faults=Faults(restarts=4))

    found = carry_out(run, tmp_path, Console(quiet=True), own_node).findings

    assert found.passed, repr(found)
    assert (found.accepted, found.duplicated, found.bound) == (run.tasks, 0, 0)
