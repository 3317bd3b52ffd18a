"""Start and stop a daemon again and again, and look what is left behind.

``python -m bench.cycles --broker embedded|rabbitmq --cycles 100``: exit code 1 when there are
more queues, connections, files, processes or sockets than after the first.
"""

import argparse
import json
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from uuid import uuid4

from rich.console import Console
from rich.progress import Progress

from bench.ground import config_for
from bench.received import Receiving
from bench.served import Served
from tests.parts.broker import HOW_TO_GET_ONE
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.ports import free_port
from tests.parts.scene import add_vhost

LONGEST_FAREWELL = 10.0
LONGEST_LIFE = 120.0
_COME_AGAIN = 503
_LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Traces:
    """What is there while no daemon runs, by name."""

    queues: frozenset[str]
    connections: frozenset[str]
    files: frozenset[str]
    processes: frozenset[str]
    sockets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the cycles take place on; ``broker`` tells its queues and connections."""

    server: str
    broker: Callable[[], tuple[frozenset[str], frozenset[str]]]


@contextmanager
def embedded(directory: Path) -> Iterator[Ground]:
    """Lay the ground for the embedded broker."""
    yield Ground(f"embedded:{directory / 'state/queue.db'}", lambda: (frozenset(), frozenset()))


@contextmanager
def rabbitmq(_directory: Path, node: RabbitNode | None = None) -> Iterator[Ground]:
    """Lay the ground on a virtual host of its own, of this node or of one just started."""
    if node is None:
        with RabbitNode.start() as own, rabbitmq(_directory, own) as ground:
            yield ground
        return
    vhost = add_vhost(node, f"cycles-{uuid4().hex[:8]}")

    def broker() -> tuple[frozenset[str], frozenset[str]]:
        listed = node.ctl("-q", "list_connections", "vhost", "peer_port", "--no-table-headers")
        open_ones = (line for line in listed.splitlines() if line.split("\t")[0] == vhost)
        return frozenset(node.queue_depths(vhost)), frozenset(open_ones)

    yield Ground(node.vhost_url(vhost), broker)


def carry_out(ground: Ground, cycles: int, directory: Path, console: Console) -> dict[str, int]:
    """Let a daemon live so often; count what is there afterwards and was not after the first."""
    places = directory / "temporary", directory / "config", directory / "state"
    for place in places:
        place.mkdir()
    temporary, config, state = places
    port = free_port()
    store = f"sqlite:{state / 'state.db'}"
    with (
        Receiving(directory) as receiver,
        Served(
            config,
            config_for(ground.server, receiver.url, port=port, store=store),
            environment={"TMPDIR": str(temporary)},
        ) as daemon,
        Progress(console=console) as progress,
    ):
        watched = (temporary, config, state)
        lives = [live(daemon, port, receiver)]
        before = traces(ground, lives, port, watched)
        rest = progress.track(range(cycles - 1), description="cycles")
        lives += [live(daemon, port, receiver) for _ in rest]
        ended = time.monotonic() + LONGEST_FAREWELL
        while left := difference(before, traces(ground, lives, port, watched)):
            if time.monotonic() > ended:
                break
            time.sleep(_LOOK_AGAIN_SECONDS)
    return left


def live(daemon: Served, port: int, receiver: Receiving) -> int:
    """Live once: start, do a task, keep another one for later, stop in order; return the pid."""
    daemon.start()
    daemon.ready()
    done, ended = receiver.count(), time.monotonic() + LONGEST_LIFE
    tasks: list[dict[str, object]] = [{"url": "/ok/1"}, {"url": "/ok/2", "countdown": 100_000}]
    for task in tasks:
        while not accepted(port, task):
            if time.monotonic() > ended:
                raise TimeoutError(f"not accepted in {LONGEST_LIFE:g} s:\n{daemon.tail()}")
    while receiver.count() == done:
        time.sleep(_LOOK_AGAIN_SECONDS)
    if code := daemon.terminate():
        raise RuntimeError(f"ended with {code}:\n{daemon.tail()}")
    return daemon.pid


def accepted(port: int, task: dict[str, object]) -> bool:
    """Hand a task in; False when it is to be tried again: the first delays make queues."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/tasks",
        json.dumps(task).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - our own
            return True
    except urllib.error.HTTPError as error:
        with error:
            if error.code != _COME_AGAIN:
                raise
    return False


def traces(ground: Ground, lives: list[int], port: int, places: tuple[Path, ...]) -> Traces:
    """Look at what is there; ``lives`` are daemons that have ended, each led a session."""
    queues, connections = ground.broker()
    files = frozenset(str(file) for place in places for file in place.rglob("*"))
    return Traces(queues, connections, files, in_sessions(lives), listening(port))


def in_sessions(leaders: list[int]) -> frozenset[str]:
    """Return the processes of some sessions; see proc(5)."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[3]) in leaders:
            found.add(stat.parent.name)
    return frozenset(found)


def listening(port: int) -> frozenset[str]:
    """Return the port if anybody listens there."""
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    return frozenset({str(port)} if taken else ())


def difference(before: Traces, after: Traces) -> dict[str, int]:
    """Count what is new, by kind; kinds without anything new are left out."""
    new = {
        each.name: getattr(after, each.name) - getattr(before, each.name) for each in fields(after)
    }
    return {kind: len(names) for kind, names in new.items() if names}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cycles", description=__doc__)
    parser.add_argument("--broker", choices=("embedded", "rabbitmq"), default="embedded")
    parser.add_argument("--cycles", type=int, default=100)
    chosen = parser.parse_args()
    if chosen.broker == "rabbitmq" and Installation.find() is None:
        print(HOW_TO_GET_ONE)
        return 69
    lay = embedded if chosen.broker == "embedded" else rabbitmq
    with tempfile.TemporaryDirectory(prefix="wr-cycles-") as name, lay(Path(name)) as ground:
        left = carry_out(ground, chosen.cycles, Path(name), Console(stderr=True))
    verdict = "FAIL" if left else "PASS"
    print(f"{chosen.cycles} cycles, left behind: {left or 'nothing'} {verdict}")
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main())
