"""The engine against the reference, whatever happens in whatever order."""

import pytest
from hypothesis import HealthCheck, settings

from tests.model.machine import EngineMachine

EXAMPLES = 300
STEPS = 40

pytestmark = pytest.mark.timeout(1800)  # shrinking takes minutes

TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
