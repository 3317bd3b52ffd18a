"""Several daemons that share a broker, each a process with a directory of its own."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Self

from bench.script import QUEUES, SPARE_QUEUE
from bench.served import Served, ServeError
from tests.parts.ports import free_port

CONCURRENCY = 25
PREFETCH = 50
MIN_BACKOFF = 0.2
_CONFIG = """
server = "{server}"
base_url = "{receiver}"
[api]
listen = "127.0.0.1:{port}"
[store]
url = "{store}"
[broker]
heartbeat = {heartbeat}
reconnect_max_seconds = 5
[log]
level = "info"
format = "json"
{more}
"""
_QUEUE = f"""
[queues.%s]
concurrency = {CONCURRENCY}
min_backoff_seconds = {MIN_BACKOFF}
max_doublings = 0
jitter = 0
max_redeliveries = 40
headers = {{ X-Served-By = "%s" }}
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all daemons are told.

    Attributes:
        server: where the broker is.
        receiver: where paths lead.
        store: the address of the store of a daemon, by its number.
        heartbeat: seconds.
        more: further lines of the configuration.

    """

    server: str
    receiver: str
    store: Callable[[int], str]
    heartbeat: int = 5
    more: str = ""


class Fleet:
    """Daemons by number; what is started may not be ready yet."""

    def __init__(self, directory: Path, size: int, setup: Setup) -> None:
        self.ports = [free_port() for _ in range(size)]
        self.daemons: list[Served] = []
        for number, port in enumerate(self.ports):
            place = directory / f"daemon-{number}"
            place.mkdir()
            config = _CONFIG.format(
                server=setup.server,
                receiver=setup.receiver,
                port=port,
                store=setup.store(number),
                heartbeat=setup.heartbeat,
                more=setup.more,
            )
            config += "".join(_QUEUE % (name, number) for name in (*QUEUES, SPARE_QUEUE))
            self.daemons.append(Served(place, config))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.daemons:
            each.close()

    def start(self) -> None:
        """Start all, and wait until they are ready. Raises ServeError."""
        for each in self.daemons:
            each.start()
        self.ready()

    def ready(self) -> None:
        """Wait until all that were started are ready. Raises ServeError."""
        for each in self.daemons:
            each.ready()

    def end(self) -> Sequence[str]:
        """End all in order; return what was wrong about it."""
        troubles = []
        for number, each in enumerate(self.daemons):
            try:
                code = each.terminate()
            except (ServeError, TimeoutExpired) as late:
                troubles.append(f"daemon {number}: {late!r}")
                continue
            if code:
                troubles.append(f"daemon {number} ended with {code}:\n{each.tail()}")
        return troubles


def sleep_until(done: Callable[[], bool], timeout: float, pause: float = 0.05) -> bool:
    """Ask until it is done; return whether it was within ``timeout`` seconds."""
    ended = time.monotonic() + timeout
    while not done():
        if time.monotonic() > ended:
            return False
        time.sleep(pause)
    return True
