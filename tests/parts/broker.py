"""Which RabbitMQ the tests run against, and why there is none."""

import importlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.parts.installation import Installation
from tests.parts.node import RabbitNode

URL_VARIABLE = "WEBHOOK_RUNNER_TEST_AMQP_URL"
WANTING = "no RabbitMQ to test against"
HOW_TO_GET_ONE = (
    f"{WANTING}: install rabbitmq-server (`make broker`), start Docker, or set {URL_VARIABLE}"
)


@dataclass(frozen=True, slots=True)
class TestBroker:
    """A broker to test against; `node` is there only when it is private to us."""

    __test__ = False

    url: str
    close: Callable[[], None]
    node: RabbitNode | None = None


def obtain_broker() -> TestBroker | None:
    """Return a broker: the one named by URL_VARIABLE, a private node, a container, or None."""
    named = os.environ.get(URL_VARIABLE)
    if named:
        return TestBroker(named, _leave_alone)
    if Installation.find() is not None:
        node = RabbitNode.start()
        return TestBroker(node.url, node.close, node)
    if docker_answers():
        # Imported only where Docker is: the client costs every other run half a second.
        container = importlib.import_module("tests.parts.container")
        url, close = container.start_rabbitmq()
        return TestBroker(url, close)
    return None


def docker_answers() -> bool:
    """Whether a Docker engine is there to start a container."""
    client = shutil.which("docker")
    if client is None:
        return Path("/var/run/docker.sock").is_socket()
    try:
        asked = subprocess.run([client, "info"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _leave_alone() -> None:
    """Somebody else's broker is not ours to stop."""
