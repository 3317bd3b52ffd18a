"""A daemon that is killed at random moments while tasks of every kind run: none may be lost."""

from pathlib import Path

import pytest
from rich.console import Console

from bench.crashes import Run, carry_out, embedded, rabbitmq
from tests.parts.node import RabbitNode

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

SEED = 20_261_122


def test_no_task_is_lost_over_twenty_kills_on_the_embedded_broker(tmp_path: Path) -> None:
    run = Run("embedded", tasks=2000, kills=20, seed=SEED)

    with embedded(tmp_path) as ground:
        findings = carry_out(run, ground, tmp_path, Console(quiet=True))

    assert findings.passed, findings
    assert findings.accepted == run.tasks


@pytest.mark.rabbitmq
def test_no_task_is_lost_over_six_kills_on_rabbitmq(tmp_path: Path, node: RabbitNode) -> None:
    run = Run("rabbitmq", tasks=600, kills=6, seed=SEED)

    with rabbitmq(tmp_path, node) as ground:
        findings = carry_out(run, ground, tmp_path, Console(quiet=True))

    assert findings.passed, findings
    assert findings.accepted == run.tasks
