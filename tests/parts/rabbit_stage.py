"""A stage on a virtual host of a private RabbitMQ node."""

import json

from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.receiver import Receiver
from tests.parts.stage import Body, SetAside, Stage

_KEPT = ("wr.v1.dead.", "wr.v1.invalid.", "wr.v1.tombstones")


class RabbitStage(Stage):
    """See `Stage`; publishes by AMQP."""

    def __init__(self, node: RabbitNode, vhost: str, receiver: Receiver) -> None:
        super().__init__(node.vhost_url(vhost), receiver)
        self.node = node
        self.vhost = vhost

    def publish(
        self, queue: str, *bodies: Body, traceparent: str = "", **properties: object
    ) -> list[bytes]:
        """Publish to a queue; `properties` are those of pika.BasicProperties."""
        if traceparent:
            properties["headers"] = {"traceparent": traceparent}
        raw = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in bodies]
        publisher.publish_many(self.url, queue, raw, **properties)
        return raw

    def depths(self, queue: str) -> tuple[int, int]:
        return self.node.queue_depths(self.vhost)[queue]

    def under_way(self) -> dict[str, tuple[int, int]]:
        depths = self.node.queue_depths(self.vhost)
        return {
            name: counts
            for name, counts in depths.items()
            if any(counts) and not name.startswith(_KEPT)
        }

    def clear(self) -> None:
        """Drop what a failed test has left; no daemon may run."""
        for name in self.under_way():
            self.node.ctl("purge_queue", "-p", self.vhost, name)

    def dead(self, queue: str) -> list[SetAside]:
        return self._taken(f"wr.v1.dead.{queue}")

    def invalid(self, queue: str) -> list[SetAside]:
        return self._taken(f"wr.v1.invalid.{queue}")

    def _taken(self, queue: str) -> list[SetAside]:
        messages = publisher.drain(self.url, queue)
        return [SetAside(each.body, each.headers) for each in messages]
