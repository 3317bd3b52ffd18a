"""A broker, a place for requests to arrive at, and the daemons between the two."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pytest

from tests.parts.daemon import Daemon, Event
from tests.parts.receiver import Receiver

QUICK = "min_backoff_seconds = 0.1\nmax_backoff_seconds = 0.1\njitter = 0"
BROKERS = ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
"""The parameters of a fixture that gives each test either broker."""

_LOOK_AGAIN_SECONDS = 0.05

Tables = Mapping[str, str]
Body = bytes | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SetAside:
    """A dead letter or an invalid message."""

    body: bytes
    headers: Mapping[str, Any]


class Stage(ABC):
    """Owns what a test starts on one broker; everything ends with it."""

    def __init__(self, url: str, receiver: Receiver, listen: str = "") -> None:
        self.url = url
        self.receiver = receiver
        self.listen = listen
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
            parts.append(f"[api]\nlisten = {json.dumps(self.listen)}")
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

    @abstractmethod
    def publish(self, queue: str, *bodies: Body, traceparent: str = "") -> list[bytes]:
        """Publish as any application would; return the messages as they were written."""

    @abstractmethod
    def depths(self, queue: str) -> tuple[int, int]:
        """Return how many messages of a queue are ready, and how many are unacknowledged."""

    @abstractmethod
    def under_way(self) -> dict[str, tuple[int, int]]:
        """Return the depths that are not (0, 0).

        What waits for its time is under names with "wait" in them.
        """

    @abstractmethod
    def dead(self, queue: str) -> list[SetAside]:
        """Take the dead letters of a queue: each is answered once."""

    @abstractmethod
    def invalid(self, queue: str) -> list[SetAside]:
        """Take the invalid messages of a queue: each is answered once."""

    def waits(self) -> bool:
        """Tell whether any task waits for its time."""
        return any("wait" in name for name in self.under_way())

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

    def comes_to_rest(self, timeout: float = 20.0) -> None:
        """Wait until no task waits or runs anywhere. Raises TimeoutError with what still does."""
        until = time.monotonic() + timeout
        # The queues may be asked one after the other, and a message move on meanwhile: ask twice.
        while rest := self.under_way() or self.under_way():
            if time.monotonic() > until:
                raise TimeoutError(f"still under way: {rest}")
            time.sleep(_LOOK_AGAIN_SECONDS)


def wait_for_events(
    daemon: Daemon, count: int, name: str, *, timeout: float = 10.0, **fields: Any
) -> list[Event]:
    """Block until the daemon has told so many events of one kind, and return them.

    Raises DaemonError when one of them took more than `timeout` seconds.
    """
    found: list[Event] = []
    after = 0
    while len(found) < count:
        event = daemon.wait_for_event(name, after=after, timeout=timeout, **fields)
        after = next(n for n in range(after, len(daemon.events)) if daemon.events[n] is event) + 1
        found.append(event)
    return found
