"""Fixtures that give tests a real RabbitMQ, and a loud word when there is none."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.parts.broker import HOW_TO_GET_ONE, URL_VARIABLE, WANTING, TestBroker, obtain_broker
from tests.parts.cluster import Cluster, find_binaries
from tests.parts.faketime import HOW_TO_GET_IT, FakeClock, find_library
from tests.parts.faketime import WANTING as WANTING_CLOCK
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.own_network import HOW_TO_GET_ONE as HOW_TO_GET_NETWORK
from tests.parts.own_network import WANTING as WANTING_NETWORK
from tests.parts.postgresql import HOW_TO_GET_ONE as HOW_TO_GET_POSTGRESQL
from tests.parts.postgresql import WANTING as WANTING_POSTGRESQL
from tests.parts.postgresql import TestServer, obtain_server, own_schema
from tests.parts.receiver import Receiver
from tests.parts.vhosts import VhostPool

# Machines are shared: how long an example takes says nothing about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def _do_without(reason: str) -> None:
    """Skip the test; in CI a missing broker is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def _broker() -> Iterator[TestBroker | None]:
    """One broker per test process; workers share none, so an alarm in one disturbs no other."""
    broker = obtain_broker()
    yield broker
    if broker is not None:
        broker.close()


@pytest.fixture(scope="session")
def amqp_url(_broker: TestBroker | None) -> str:
    """The address of a real RabbitMQ that is shared by the tests of this process."""
    if _broker is None:
        _do_without(HOW_TO_GET_ONE)
        raise AssertionError
    return _broker.url


@pytest.fixture(scope="session")
def node(_broker: TestBroker | None) -> RabbitNode:
    """The shared broker as a private node; not to be killed (see `own_node`)."""
    if _broker is None or _broker.node is None:
        _do_without(
            f"{WANTING} that is private to it: install rabbitmq-server, unset {URL_VARIABLE}"
        )
        raise AssertionError
    return _broker.node


@pytest.fixture(scope="session")
def _vhosts(_broker: TestBroker | None) -> VhostPool | None:
    return VhostPool(_broker.node) if _broker is not None and _broker.node is not None else None


@pytest.fixture
def vhost_url(amqp_url: str, _broker: TestBroker, _vhosts: VhostPool | None) -> Iterator[str]:
    """The address of a virtual host of this test's own; a foreign broker's URL as it is."""
    if _vhosts is None or _broker.node is None:
        yield amqp_url
        return
    name = _vhosts.take()
    yield _broker.node.vhost_url(name)
    _vhosts.give_back(name)


@pytest.fixture(scope="module")
def own_node() -> Iterator[RabbitNode]:
    """A private node that a module's tests may kill, freeze and alarm as they like."""
    if Installation.find() is None:
        _do_without(f"{WANTING} that may be killed: install rabbitmq-server (`make broker`)")
    with RabbitNode.start() as started:
        yield started


@pytest.fixture(scope="session")
def _postgresql() -> Iterator[TestServer | None]:
    server = obtain_server()
    yield server
    if server is not None:
        server.close()


@pytest.fixture
def postgresql_url(_postgresql: TestServer | None) -> Iterator[str]:
    """The address of an empty place in a real PostgreSQL, for this test alone."""
    if _postgresql is None:
        _do_without(HOW_TO_GET_POSTGRESQL)
        raise AssertionError
    with own_schema(_postgresql.url) as url:
        yield url


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """A clock that a test sets for its daemon."""
    library = find_library()
    if library is None:
        _do_without(HOW_TO_GET_IT)
        raise AssertionError
    return FakeClock(tmp_path, library)


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A private PostgreSQL that a module's tests may stop and kill."""
    if find_binaries() is None:
        _do_without(f"{WANTING_POSTGRESQL} that may be stopped: install postgresql")
    cluster = Cluster.start()
    yield cluster
    cluster.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A recording HTTP server that answers 200 until it is given a script."""
    with Receiver() as started:
        yield started


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say last, and loudly, what was not tested for want of a broker, a database or a network."""
    skipped = terminalreporter.stats.get("skipped", [])
    for wanted, how in (
        (WANTING, HOW_TO_GET_ONE),
        (WANTING_POSTGRESQL, HOW_TO_GET_POSTGRESQL),
        (WANTING_CLOCK, HOW_TO_GET_IT),
        (WANTING_NETWORK, HOW_TO_GET_NETWORK),
    ):
        wanting = sum(wanted in str(report.longrepr) for report in skipped)
        if wanting:
            terminalreporter.write_sep(
                "!", f"{wanting} tests were SKIPPED: {how}", yellow=True, bold=True
            )
