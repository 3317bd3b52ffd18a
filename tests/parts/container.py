"""Servers in containers, for machines with a Docker engine and none of their own."""

from collections.abc import Callable

from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs

from tests.parts.node_setup import wait_until

_IMAGE = "rabbitmq:4"
_POSTGRESQL = "postgres:17"


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
    # It is started twice; on the way to the second start it listens on no port.
    wait_for_logs(container, "ready to accept connections.*ready to accept connections", 90)
    return f"postgresql://postgres@{host}:{port}/postgres", container.stop
