"""Servers in containers, for machines with a Docker engine and none of their own."""

import time
from collections.abc import Callable

import psycopg
from testcontainers.core.container import DockerContainer

from tests.parts.node_setup import wait_until

_IMAGE = "rabbitmq:4"
_POSTGRESQL = "postgres:17"
_START_SECONDS = 90.0
_PROBE_SECONDS = 0.1


def start_rabbitmq() -> tuple[str, Callable[[], None]]:
    """Start a broker and return its URL and what stops it. Raises TimeoutError."""
    container = DockerContainer(_IMAGE).with_exposed_ports(5672)
    container.start()
    host, port = container.get_container_host_ip(), int(container.get_exposed_port(5672))
    wait_until(host, port)
    return f"amqp://guest:guest@{host}:{port}/", container.stop


def start_postgresql() -> tuple[str, Callable[[], None]]:
    """Start a PostgreSQL server and return its URL and what stops it. Raises TimeoutError."""
    container = DockerContainer(_POSTGRESQL).with_exposed_ports(5432)
    container.with_env("POSTGRES_HOST_AUTH_METHOD", "trust").start()
    host, port = container.get_container_host_ip(), int(container.get_exposed_port(5432))
    url = f"postgresql://postgres@{host}:{port}/postgres"
    _wait_until_it_answers(url)
    return url, container.stop


def _wait_until_it_answers(url: str) -> None:
    """Ask until there is an answer: it starts twice, and listens on its port the second time."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(str(error)) from error
            time.sleep(_PROBE_SECONDS)
        else:
            return
