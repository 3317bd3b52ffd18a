"""The demo over RabbitMQ: a broker that runs here or one of our own, and a plain AMQP client."""

import os

import pika
from pika.exceptions import AMQPError

from examples.demo.door import Handed
from examples.demo.exhibits import Exhibit
from tests.parts.broker import HOW_TO_GET_ONE, URL_VARIABLE, TestBroker, obtain_broker
from tests.parts.publisher import publish

QUEUE = "webhook-runner-demo"
PREFIX = "wr-demo.v1"
LOCAL = "amqp://guest:guest@localhost:5672/"
CONFIG = """
server = "{broker}"
base_url = "{receiver}"
[broker]
prefix = "{prefix}"
[api]
listen = "127.0.0.1:0"
[queues.{queue}]
min_backoff_seconds = 1
timeout = 5
"""


class AmqpDoor:
    """The default exchange of a RabbitMQ, with the queue's name as routing key."""

    name = "RabbitMQ, tasks by a plain AMQP client"

    def __init__(self, broker: TestBroker) -> None:
        self._broker = broker

    @property
    def invalid(self) -> Exhibit:
        return Exhibit("invalid", "not JSON", b"{this is not JSON", (), (), "task.rejected")

    def config(self, receiver: str) -> str:
        return CONFIG.format(broker=self._broker.url, receiver=receiver, prefix=PREFIX, queue=QUEUE)

    def hand_in(self, message: bytes) -> Handed:
        publish(self._broker.url, QUEUE, message)
        return Handed(taken=True, answer="confirmed")

    def invitation(self) -> str:
        return (
            f"Publish JSON to the queue {QUEUE} of {self._broker.url}\n"
            'with any AMQP client, such as {"url": "/hello", "countdown": 2}.'
        )

    def close(self) -> None:
        if self._broker.node is None:
            _clean_up(self._broker.url)
        self._broker.close()


def open_door() -> AmqpDoor:
    """Return the way in. Raises RuntimeError with a word on what helps when there is no broker."""
    broker = _running_broker() or obtain_broker()
    if broker is None:
        raise RuntimeError(HOW_TO_GET_ONE)
    return AmqpDoor(broker)


def _running_broker() -> TestBroker | None:
    """Return the RabbitMQ of this machine, if one runs with its default user."""
    if os.environ.get(URL_VARIABLE):
        return None
    try:
        pika.BlockingConnection(pika.URLParameters(f"{LOCAL}?connection_attempts=1")).close()
    except (AMQPError, OSError):
        return None
    return TestBroker(LOCAL, lambda: None)


def _clean_up(url: str) -> None:
    """Leave nothing behind on a broker that is not ours."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    slots = [f"{PREFIX}.wait.{level}.{slot}" for level in range(5) for slot in range(64)]
    aside = [f"{PREFIX}.{kind}.{QUEUE}" for kind in ("dead", "invalid")]
    for queue in (QUEUE, *slots, *aside, f"{PREFIX}.unrouted", f"{PREFIX}.poison"):
        channel.queue_delete(queue)
    for exchange in ("work", "wait", "poison", "unrouted"):
        channel.exchange_delete(f"{PREFIX}.{exchange}")
    connection.close()
