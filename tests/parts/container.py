"""RabbitMQ in a container, for machines with a Docker engine and no RabbitMQ of their own."""

from collections.abc import Callable

from testcontainers.core.container import DockerContainer

from tests.parts.node_setup import wait_until

_IMAGE = "rabbitmq:4"


def start_rabbitmq() -> tuple[str, Callable[[], None]]:
    """Start a broker and return its URL and what stops it. Raises TimeoutError."""
    container = DockerContainer(_IMAGE).with_exposed_ports(5672)
    container.start()
    host, port = container.get_container_host_ip(), int(container.get_exposed_port(5672))
    wait_until(host, port)
    return f"amqp://guest:guest@{host}:{port}/", container.stop
