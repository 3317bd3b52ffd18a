"""Stages for the daemon: one of a test's own, one for a module, one for all.

They are on the embedded broker; `rabbit_stage` and `rabbit_common` are for what is AMQP's own, and
`either_stage` and `either_common` for what both brokers must do alike.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.node import RabbitNode
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Receiver
from tests.parts.stage import BROKERS, QUICK, Stage
from tests.parts.vhosts import VhostPool


@pytest.fixture
def stage(tmp_path: Path, receiver: Receiver) -> Iterator[EmbeddedStage]:
    """A queue file without a daemon; paths lead to the test's `receiver`."""
    with EmbeddedStage(tmp_path, receiver) as empty:
        yield empty


@pytest.fixture
def rabbit_stage(node: RabbitNode, _vhosts: VhostPool, receiver: Receiver) -> Iterator[RabbitStage]:
    """A virtual host without a daemon; paths lead to the test's `receiver`."""
    name = _vhosts.take()
    with RabbitStage(node, name, receiver) as empty:
        yield empty
    _vhosts.give_back(name)


@pytest.fixture(params=BROKERS)
def either_stage(request: pytest.FixtureRequest) -> Stage:
    """A stage on each broker in turn."""
    name = "stage" if request.param == "embedded" else "rabbit_stage"
    stage: Stage = request.getfixturevalue(name)
    return stage


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStage]:
    """A queue file for all tests of a module; paths lead to `shared_stage.receiver`."""
    directory = tmp_path_factory.mktemp("shared")
    with Receiver() as receiver, EmbeddedStage(directory, receiver) as empty:
        yield empty


QUEUES = {
    "plain": QUICK,
    "capped": f"{QUICK}\nretry_limit = 1",
    "slow": "min_backoff_seconds = 5\njitter = 0",
    "facts": f'{QUICK}\nrollback_body = "payload"',
    "ok200": f"{QUICK}\nsuccess_codes = 200",
    "smart": f'{QUICK}\nretry_on = "smart"',
    "brief": f"{QUICK}\ntimeout = 0.3",
    "narrow": f"{QUICK}\nconcurrency = 3\nper_host_concurrency = 3",
    "single": f"{QUICK}\nconcurrency = 1",
    "paced": 'rate = "10/s"\nbucket_size = 3\nconcurrency = 50',
    "extended": f'{QUICK}\nextensions = ["examples.metadata_headers:add_headers"]',
    "refusing": f"""{QUICK}
extensions = ["tests.parts.extension:refuse_the_poor"]""",
    "broken": f"""{QUICK}\nretry_limit = 1
extensions = ["tests.parts.extension:break_down"]""",
}
# Tests that share a daemon must not share what it thinks of the hosts that they let fail.
TOP = "[breaker]\nenabled = false\n"


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStage]:
    """A stage with one daemon, `common.first`, and a queue for each policy that tests ask for."""
    directory = tmp_path_factory.mktemp("common")
    with Receiver() as receiver, EmbeddedStage(directory, receiver) as stage:
        stage.daemon(QUEUES, top=TOP)
        yield stage


@pytest.fixture(scope="session")
def rabbit_common(node: RabbitNode, _vhosts: VhostPool) -> Iterator[RabbitStage]:
    """The same as `common`, on RabbitMQ."""
    with Receiver() as receiver, RabbitStage(node, _vhosts.take(), receiver) as stage:
        stage.daemon(QUEUES, top=TOP)
        yield stage


@pytest.fixture(params=BROKERS)
def either_common(request: pytest.FixtureRequest) -> Stage:
    """The same as `common`, on each broker in turn."""
    name = "common" if request.param == "embedded" else "rabbit_common"
    stage: Stage = request.getfixturevalue(name)
    return stage
