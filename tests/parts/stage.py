"""A virtual host, a place for requests to arrive at, and the daemons between the two."""

import json
import time
from collections.abc import Mapping
from typing import Any, Self

from tests.parts import publisher
from tests.parts.daemon import Daemon, Event
from tests.parts.node import RabbitNode
from tests.parts.publisher import Message
from tests.parts.receiver import Receiver

QUICK = "min_backoff_seconds = 0.1\nmax_backoff_seconds = 0.1\njitter = 0"
_LOOK_AGAIN_SECONDS = 0.1

Tables = Mapping[str, str]
Body = bytes | Mapping[str, object]


class Stage:
    """Owns what a test starts on one virtual host; everything ends with it."""

    def __init__(self, node: RabbitNode, vhost: str, receiver: Receiver) -> None:
        self.node = node
        self.vhost = vhost
        self.receiver = receiver
        self.url = node.vhost_url(vhost)
        self._daemons: list[Daemon] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self._daemons:
            daemon.close()

    def configuration(self, queues: Tables, *, server: str = "", top: str = "") -> str:
        """Return a file: one table for each queue, `top` before them, everything logged."""
        head = f"server = {json.dumps(server or self.url)}\nbase_url = {json.dumps(self.base)}\n"
        parts = [head + top]
        if "[log]" not in top:
            parts.append('[log]\nlevel = "debug"\nformat = "json"')
        if "[api]" not in top:
            parts.append('[api]\nlisten = ""')
        parts += [f"[queues.{json.dumps(name)}]\n{keys}" for name, keys in queues.items()]
        return "\n".join(parts) + "\n"

    @property
    def base(self) -> str:
        return self.receiver.url

    @property
    def first(self) -> Daemon:
        """The daemon that was started first."""
        return self._daemons[0]

    def daemon(
        self,
        queues: Tables,
        *,
        server: str = "",
        top: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Daemon:
        """Start a daemon and wait until it is ready."""
        daemon = self.unready(queues, server=server, top=top, environment=environment)
        daemon.ready()
        return daemon

    def unready(
        self,
        queues: Tables,
        *,
        server: str = "",
        top: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Daemon:
        """Start a daemon."""
        text = self.configuration(queues, server=server, top=top)
        daemon = Daemon(text, environment=environment)
        self._daemons.append(daemon)
        daemon.start()
        return daemon

    def publish(self, queue: str, *bodies: Body, **properties: object) -> None:
        """Publish as any application would; `properties` are those of pika.BasicProperties."""
        raw = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in bodies]
        publisher.publish_many(self.url, queue, raw, **properties)

    def depths(self, queue: str) -> tuple[int, int]:
        """Return how many messages of a queue are ready, and how many are unacknowledged."""
        return self.node.queue_depths(self.vhost)[queue]

    def wait_for_depths(self, queue: str, ready: int, unacked: int, timeout: float = 15.0) -> None:
        """Ask the broker until a queue looks like this. Raises TimeoutError."""
        until = time.monotonic() + timeout
        while (found := self.depths(queue)) != (ready, unacked):
            if time.monotonic() > until:
                raise TimeoutError(f"{queue} has (ready, unacked) = {found}")
            time.sleep(_LOOK_AGAIN_SECONDS)

    def wait_until_empty(self, queue: str) -> None:
        """Wait until a queue holds nothing, neither ready nor unacknowledged."""
        self.wait_for_depths(queue, 0, 0)

    def dead(self, queue: str) -> list[Message]:
        """Take the dead letters of a queue."""
        return publisher.drain(self.url, f"wr.v1.dead.{queue}")

    def invalid(self, queue: str) -> list[Message]:
        """Take the invalid messages of a queue."""
        return publisher.drain(self.url, f"wr.v1.invalid.{queue}")


def wait_for_events(daemon: Daemon, count: int, name: str, **fields: Any) -> list[Event]:
    """Block until the daemon has told so many events of one kind, and return them."""
    found: list[Event] = []
    after = 0
    while len(found) < count:
        event = daemon.wait_for_event(name, after=after, **fields)
        after = next(n for n in range(after, len(daemon.events)) if daemon.events[n] is event) + 1
        found.append(event)
    return found
