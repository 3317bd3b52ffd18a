"""The ways in: the HTTP API of the daemons, and RabbitMQ as any application uses it."""

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, NackError, UnroutableError

from bench.ledger import Entry
from bench.script import Scripted

_TIMEOUT_SECONDS = 20
_COME_AGAIN_SECONDS = 1.0
_TAKEN = {200, 202}

Item = tuple[Scripted, Entry]


class Door(Protocol):
    """A way to publish; tells of each entry whether it was accepted, by changing it."""

    def publish(self, batch: Sequence[Item]) -> bool:
        """Publish; False when nothing was sent, so that it can be tried again."""

    def close(self) -> None: ...


class ApiDoor:
    """``POST /v1/tasks`` with an array, to one daemon after the other."""

    def __init__(self, *ports: int, hosts: Mapping[str, str] | None = None) -> None:
        self._hosts = hosts or {}
        self._connections = [
            http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
            for port in ports
        ]
        self._turn = 0

    def publish(self, batch: Sequence[Item]) -> bool:
        self._turn = (self._turn + 1) % len(self._connections)
        connection = self._connections[self._turn]
        if connection.sock is None:
            try:
                connection.connect()
            except OSError:
                return False
        messages = [task.by_one_door().message(entry.sent_at, self._hosts) for task, entry in batch]
        try:
            said = json.loads(self.post(json.dumps(messages).encode()))
        except (OSError, http.client.HTTPException):
            connection.close()
            return True  # no answer: it may be there or not
        for (_, entry), result in zip(batch, said.get("results", ()), strict=False):
            entry.accepted = result["status"] in _TAKEN
            entry.id = result.get("id", "")
        if not any(entry.accepted for _, entry in batch):
            time.sleep(_COME_AGAIN_SECONDS)
        return True

    def post(self, body: bytes) -> bytes:
        """Send an array and return the answer. Raises OSError and HTTPException."""
        connection = self._connections[self._turn]
        connection.request("POST", "/v1/tasks", body, {"Content-Type": "application/json"})
        return connection.getresponse().read()

    def close(self) -> None:
        for each in self._connections:
            each.close()


class AmqpDoor:
    """A plain AMQP client with confirms; connects again when its connection is lost."""

    def __init__(self, url: str, hosts: Mapping[str, str] | None = None) -> None:
        # Without heartbeats a broker that is paused is waited for.
        self._parameters = pika.URLParameters(f"{url}?heartbeat=0")
        self._hosts = hosts or {}
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._properties = pika.BasicProperties(delivery_mode=2)  # type: ignore[no-untyped-call]

    def publish(self, batch: Sequence[Item]) -> bool:
        try:
            channel = self._open()
        except (AMQPError, OSError):
            self.close()
            return False
        for task, entry in batch:
            entry.sent_at = time.time()
            body = json.dumps(task.message(entry.sent_at, self._hosts)).encode()
            try:
                channel.basic_publish("", task.queue, body, self._properties, mandatory=True)
            except (UnroutableError, NackError):
                continue  # the queue is gone, or takes nothing: the broker did not accept it
            except (AMQPError, OSError):
                self.close()
                return True  # not confirmed: it may be there or not
            entry.accepted, entry.id = True, task.id if task.named else ""
        return True

    def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            with suppress(AMQPError, OSError):
                connection.close()

    def _open(self) -> BlockingChannel:
        if self._channel is None:
            self._connection = pika.BlockingConnection(self._parameters)
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        return self._channel
