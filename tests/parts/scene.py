"""A broker's virtual host, a daemon's configuration and a receiver: what a fault is staged in."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tests.parts.daemon import Daemon
from tests.parts.node import RabbitNode
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver, Request

T = TypeVar("T")
# The broker tells nobody when a queue has been emptied, so it is asked again and again.
_ASK_AGAIN_SECONDS = 0.05
_KEPT = ("wr.v1.dead.", "wr.v1.invalid.", "wr.v1.tombstones")


def eventually(ask: Callable[[], T], timeout: float = 15.0) -> T:
    """Ask until the answer is true, and return it. Raises TimeoutError with the last answer."""
    deadline = time.monotonic() + timeout
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {timeout:g} s")
        time.sleep(_ASK_AGAIN_SECONDS)
    return answer


def add_vhost(node: RabbitNode, name: str) -> str:
    """Make a virtual host on which guest may do everything, and return its name."""
    # It speaks AMQP a moment before it calls itself started.
    node.ctl("await_startup")
    node.ctl("add_vhost", name)
    node.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    return name


@dataclass(slots=True)
class Scene:
    """What a daemon is started in; ``url`` may lead through a proxy."""

    node: RabbitNode
    vhost: str
    receiver: Receiver
    url: str = ""
    queue_lines: str = ""
    broker_lines: str = ""
    queues: tuple[str, ...] = ("quorum",)
    api_port: int = field(default_factory=free_port)

    @property
    def direct_url(self) -> str:
        """The broker's address past any proxy, for publishing and looking."""
        return self.node.vhost_url(self.vhost)

    def config(self) -> str:
        """Return the configuration: all queues with the same lines."""
        tables = "".join(f"[queues.{name}]\n{self.queue_lines}\n" for name in self.queues)
        return (
            f'server = "{self.url or self.direct_url}"\nbase_url = "{self.receiver.url}"\n'
            f"[broker]\n{self.broker_lines}\n"
            f'[api]\nlisten = "127.0.0.1:{self.api_port}"\n'
            f'[log]\nlevel = "debug"\nformat = "json"\n{tables}'
        )

    def daemon(self, failpoints: str = "") -> Daemon:
        """Return a daemon of this scene, not yet started."""
        armed = {"WEBHOOK_RUNNER_FAILPOINTS": failpoints} if failpoints else {}
        return Daemon(self.config(), environment=armed)

    def readyz(self) -> tuple[int, dict[str, str]]:
        """Return the status of /readyz and what its parts say; (0, {}) when nobody answers."""
        url = f"http://127.0.0.1:{self.api_port}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status), dict(json.load(answer)["parts"])
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(json.load(error)["parts"])
        except OSError:
            return 0, {}

    def becomes_ready(self, *, ready: bool = True, timeout: float = 20.0) -> dict[str, str]:
        """Wait until /readyz says so, and return its parts."""
        wanted = 200 if ready else 503
        eventually(lambda: self.readyz()[0] == wanted, timeout)
        return self.readyz()[1]

    def under_way(self) -> dict[str, tuple[int, int]]:
        """Return the queues, but for letters and notices, that hold messages."""
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

    def comes_to_rest(self, timeout: float = 20.0) -> None:
        """Wait until no task waits or runs anywhere. Raises TimeoutError with what still does."""
        deadline = time.monotonic() + timeout
        # The queues are asked one after the other, and a message may move on meanwhile: ask twice.
        while rest := self.under_way() or self.under_way():
            if time.monotonic() > deadline:
                raise TimeoutError(f"still under way: {rest}")


def by_id(requests: list[Request]) -> dict[str, list[Request]]:
    """Group requests by the id that their receiver would tell duplicates by."""
    grouped: dict[str, list[Request]] = {}
    for request in requests:
        grouped.setdefault(request.header("Idempotency-Key") or "", []).append(request)
    return grouped


def attempts(requests: list[Request]) -> list[int]:
    """Return the attempt numbers that requests carry, in order of arrival."""
    return [int(request.header("Webhook-Runner-Attempt") or 0) for request in requests]


def doubted(request: Request) -> bool:
    """Tell whether a request says that it may be a duplicate."""
    return request.header("Webhook-Runner-Possible-Duplicate") == "true"
