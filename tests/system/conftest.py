"""Stages for the daemon: one of a test's own, and one that the tests of a module share."""

from collections.abc import Iterator

import pytest

from tests.parts.node import RabbitNode
from tests.parts.receiver import Receiver
from tests.parts.stage import QUICK, Stage
from tests.parts.vhosts import VhostPool


@pytest.fixture
def stage(node: RabbitNode, _vhosts: VhostPool, receiver: Receiver) -> Iterator[Stage]:
    """A virtual host without a daemon; paths lead to the test's `receiver`."""
    name = _vhosts.take()
    with Stage(node, name, receiver) as empty:
        yield empty
    _vhosts.give_back(name)


@pytest.fixture(scope="module")
def shared_stage(node: RabbitNode, _vhosts: VhostPool) -> Iterator[Stage]:
    """A virtual host for all tests of a module; paths lead to `shared_stage.receiver`."""
    name = _vhosts.take()
    with Receiver() as receiver, Stage(node, name, receiver) as empty:
        yield empty
    _vhosts.give_back(name)


QUEUES = {
    "plain": QUICK,
    "capped": f"{QUICK}\nretry_limit = 1",
    "slow": "min_backoff_seconds = 5\njitter = 0",
    "facts": f'{QUICK}\nrollback_body = "payload"',
    "ok200": f"{QUICK}\nsuccess_codes = 200",
    "smart": f'{QUICK}\nretry_on = "smart"',
    "brief": f"{QUICK}\ntimeout = 0.3",
    "narrow": f"{QUICK}\nconcurrency = 3",
    "single": f"{QUICK}\nconcurrency = 1",
    "paced": 'rate = "10/s"\nbucket_size = 3\nconcurrency = 50',
    "extended": f'{QUICK}\nextensions = ["examples.metadata_headers:add_headers"]',
    "refusing": f"""{QUICK}
extensions = ["tests.parts.extension:refuse_the_poor"]""",
    "broken": f"""{QUICK}\nretry_limit = 1
extensions = ["tests.parts.extension:break_down"]""",
}


@pytest.fixture(scope="session")
def common(node: RabbitNode, _vhosts: VhostPool) -> Iterator[Stage]:
    """A stage with one daemon, `common.first`, and a queue for each policy that tests ask for."""
    with Receiver() as receiver, Stage(node, _vhosts.take(), receiver) as stage:
        stage.daemon(QUEUES)
        yield stage
