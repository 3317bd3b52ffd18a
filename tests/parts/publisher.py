"""A plain AMQP client on pika: what any application would do, nothing of ours."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pika
from pika.adapters.blocking_connection import BlockingChannel


@dataclass(frozen=True, slots=True)
class Message:
    """A message as taken from a queue."""

    body: bytes
    headers: dict[str, object]
    properties: pika.BasicProperties
    exchange: str
    routing_key: str
    redelivered: bool


@contextmanager
def _channel(url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def publish(url: str, queue: str, body: bytes | dict[str, object], **properties: object) -> None:
    """Publish one message to a queue by the default exchange; see `publish_many`."""
    publish_many(url, queue, [body], **properties)


def publish_many(
    url: str, queue: str, bodies: Iterable[bytes | dict[str, object]], **properties: object
) -> None:
    """Publish persistent, mandatory and confirmed; `properties` are those of pika.BasicProperties.

    Raises pika's UnroutableError where the queue does not exist.
    """
    wanted = {"content_type": "application/json", "delivery_mode": 2} | properties
    chosen = pika.BasicProperties(**wanted)  # type: ignore[no-untyped-call]
    with _channel(url) as channel:
        channel.confirm_delivery()
        for body in bodies:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            channel.basic_publish("", queue, raw, chosen, mandatory=True)


def declare_classic(url: str, queue: str) -> None:
    """Declare a durable classic queue, as applications have them today."""
    with _channel(url) as channel:
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})


def declare_quorum(url: str, queue: str, **arguments: object) -> None:
    """Declare a quorum queue; arguments are written with `_` for `-` (`x_max_length=10`)."""
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    with _channel(url) as channel:
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum", **named})


def drain(url: str, queue: str) -> list[Message]:
    """Take all that is ready in a queue, acknowledged."""
    taken: list[Message] = []
    with _channel(url) as channel:
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None or properties is None or body is None:
                return taken
            headers = dict(properties.headers or {})
            taken.append(
                Message(
                    body,
                    headers,
                    properties,
                    method.exchange or "",
                    method.routing_key or "",
                    bool(method.redelivered),
                )
            )


def depth(url: str, queue: str) -> int:
    """Return how many messages are ready in a queue."""
    with _channel(url) as channel:
        return int(channel.queue_declare(queue, passive=True).method.message_count or 0)
