"""Which PostgreSQL the tests run against, and why there is none."""

import importlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import psycopg

from tests.parts.broker import docker_answers
from tests.parts.cluster import Cluster, find_binaries

URL_VARIABLE = "WEBHOOK_RUNNER_TEST_POSTGRESQL_URL"
WANTING = "no PostgreSQL to test against"
HOW_TO_GET_ONE = (
    f"{WANTING}: install postgresql (`make database`), start Docker, or set {URL_VARIABLE}"
)


@dataclass(frozen=True, slots=True)
class TestServer:
    """A server to test against; `cluster` is there only when it is private to us."""

    __test__ = False

    url: str
    close: Callable[[], None]
    cluster: Cluster | None = None


def obtain_server() -> TestServer | None:
    """Return a server: the one named by URL_VARIABLE, a private cluster, a container, or None."""
    named = os.environ.get(URL_VARIABLE)
    if named:
        return TestServer(named, lambda: None)
    if find_binaries() is not None:
        cluster = Cluster.start()
        return TestServer(cluster.url, cluster.close, cluster)
    if docker_answers():
        container = importlib.import_module("tests.parts.container")
        url, close = container.start_postgresql()
        return TestServer(url, close)
    return None


@contextmanager
def own_schema(url: str) -> Iterator[str]:
    """Return the address of an empty place of its own in the database of that address."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    option = quote(f"-csearch_path={name}", safe="")
    yield f"{url}{'&' if '?' in url else '?'}options={option}"
    # Another connection: a test may have stopped the server.
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP SCHEMA {name} CASCADE")
