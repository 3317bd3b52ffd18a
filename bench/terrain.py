"""What a chaos run takes place on: a broker with its line and its store."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bench.doors import AmqpDoor, ApiDoor, Door
from bench.remains import Remains, in_file, in_rabbitmq, waiting_in_file, waiting_in_rabbitmq
from bench.script import QUEUES
from tests.parts import publisher
from tests.parts.cluster import Cluster
from tests.parts.node import RabbitNode
from tests.parts.proxy import FaultProxy
from tests.parts.scene import add_vhost

Doors = Callable[[Sequence[int], Mapping[str, str]], list[Door]]


@dataclass(frozen=True, slots=True)
class Rabbit:
    """A private node with a virtual host, and the line to it that can be disturbed."""

    node: RabbitNode
    vhost: str
    proxy: FaultProxy

    @property
    def url(self) -> str:
        """The broker past the line."""
        return self.node.vhost_url(self.vhost)


@dataclass(frozen=True, slots=True)
class Terrain:
    """Where the daemons find a broker and a store.

    Attributes:
        server: the address of the broker as the daemons know it.
        store: the address of the store of a daemon, by its number.
        doors: open them to publish by, given the ports of the daemons and the receiver's urls.
        waiting: how many messages wait or are under way.
        remains: what is left in the end.
        rabbit: what can be done to the broker, or None.

    """

    server: str
    store: Callable[[int], str]
    doors: Doors
    waiting: Callable[[], int]
    remains: Callable[[], Remains]
    rabbit: Rabbit | None = None


@contextmanager
def embedded(directory: Path, store: str) -> Iterator[Terrain]:
    """Lay the ground for the embedded broker."""
    file = directory / "queue.db"

    def doors(ports: Sequence[int], hosts: Mapping[str, str]) -> list[Door]:
        return [ApiDoor(*ports, hosts=hosts) for _ in range(2)]

    def waiting() -> int:
        try:
            return waiting_in_file(file)
        except sqlite3.OperationalError:
            return -1  # not there yet, or busy

    with _stores(directory, store) as url:
        yield Terrain(f"embedded:{file}", url, doors, waiting, lambda: in_file(file))


@contextmanager
def rabbitmq(directory: Path, store: str, node: RabbitNode | None = None) -> Iterator[Terrain]:
    """Lay the ground on a virtual host of its own, of this node or of one just started."""
    with ExitStack() as stack:
        if node is None:
            node = stack.enter_context(RabbitNode.start())
        vhost = add_vhost(node, f"chaos-{uuid4().hex[:8]}")
        proxy = stack.enter_context(FaultProxy("127.0.0.1", node.port))
        rabbit = Rabbit(node, vhost, proxy)
        publisher.declare_quorum(
            rabbit.url,
            QUEUES[0],
            x_delivery_limit=50,
            x_dead_letter_exchange="wr.v1.poison",
            x_dead_letter_strategy="at-least-once",
            x_overflow="reject-publish",
        )
        publisher.declare_classic(rabbit.url, QUEUES[1])

        def doors(ports: Sequence[int], hosts: Mapping[str, str]) -> list[Door]:
            amqp: list[Door] = [AmqpDoor(rabbit.url, hosts) for _ in range(2)]
            return [*amqp, ApiDoor(*ports, hosts=hosts)]

        yield Terrain(
            proxy.url_for(rabbit.url),
            stack.enter_context(_stores(directory, store)),
            doors,
            lambda: waiting_in_rabbitmq(rabbit.node, vhost),
            lambda: in_rabbitmq(rabbit.node, vhost),
            rabbit,
        )


@contextmanager
def _stores(directory: Path, kind: str) -> Iterator[Callable[[int], str]]:
    """Name the store of each daemon: a file of its own, a shared database, or none."""
    if kind == "postgresql":
        cluster = Cluster.start()
        try:
            yield lambda _: cluster.url
        finally:
            cluster.close()
    elif kind == "sqlite":
        yield lambda number: f"sqlite:{directory}/state-{number}.db"
    else:
        yield lambda _: "none"
