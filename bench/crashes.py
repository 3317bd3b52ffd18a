"""Kill the daemon again and again while tasks of every kind run, and see that none is lost.

``python -m bench.crashes --broker embedded|rabbitmq --tasks 20000 --kills 200 --seed 1``
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from rich.console import Console
from rich.progress import Progress

from bench.check import MIN_BACKOFF, Findings, check
from bench.feeding import AmqpDoor, ApiDoor, Door, Feeder
from bench.nemesis import kill_at_random
from bench.received import Receiving
from bench.remains import Remains, in_file, in_rabbitmq
from bench.script import LONGEST_DELAY, QUEUES
from bench.served import Served
from tests.parts import publisher
from tests.parts.broker import HOW_TO_GET_ONE
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.ports import free_port
from tests.parts.scene import add_vhost

CONCURRENCY = 25
QUIET_SECONDS = LONGEST_DELAY + 2.0
LONGEST_DRAIN = 120.0
_LOOK_AGAIN_SECONDS = 0.1
_CONFIG = """
server = "{server}"
base_url = "{receiver}"
[api]
listen = "127.0.0.1:{port}"
[log]
level = "info"
format = "json"
"""
_QUEUE = f"""
[queues.%s]
concurrency = {CONCURRENCY}
min_backoff_seconds = {MIN_BACKOFF}
max_doublings = 0
jitter = 0
max_redeliveries = 40
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What to do: so many tasks, so many kills, the dice."""

    broker: str = "embedded"
    tasks: int = 20_000
    kills: int = 200
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Ground:
    """What a run takes place on; ``doors`` opens one to publish by."""

    server: str
    port: int
    door: Callable[[], Door]
    remains: Callable[[], Remains]


@contextmanager
def embedded(directory: Path) -> Iterator[Ground]:
    """Lay the ground for the embedded broker."""
    file, port = directory / "queue.db", free_port()
    yield Ground(f"embedded:{file}", port, lambda: ApiDoor(port), lambda: in_file(file))


@contextmanager
def rabbitmq(_directory: Path, node: RabbitNode | None = None) -> Iterator[Ground]:
    """Lay the ground on a virtual host of its own, of this node or of one just started."""
    if node is None:
        with RabbitNode.start() as own, rabbitmq(_directory, own) as ground:
            yield ground
        return
    vhost = add_vhost(node, f"crashes-{uuid4().hex[:8]}")
    url = node.vhost_url(vhost)
    publisher.declare_quorum(
        url,
        QUEUES[0],
        x_delivery_limit=50,
        x_dead_letter_exchange="wr.v1.poison",
        x_dead_letter_strategy="at-least-once",
        x_overflow="reject-publish",
    )
    publisher.declare_classic(url, QUEUES[1])
    yield Ground(url, free_port(), lambda: AmqpDoor(url), lambda: in_rabbitmq(node, vhost))


def carry_out(run: Run, ground: Ground, directory: Path, console: Console) -> Findings:
    """Do the run and check it."""
    with Receiving(directory) as receiver, Progress(console=console) as progress:
        bar = progress.add_task("kills", total=run.kills)
        config = _CONFIG.format(server=ground.server, receiver=receiver.url, port=ground.port)
        config += "".join(_QUEUE % name for name in QUEUES)
        with Served(directory, config) as daemon:
            feeder = Feeder(ground.door(), run.seed, one_door=run.broker == "embedded")

            def on_round(number: int) -> None:
                feeder.allow(run.tasks * (number + 1) // (run.kills + 1))
                progress.update(bar, completed=number)
                receiver.look()

            kills = kill_at_random(daemon, run.kills, run.seed, on_round)
            feeder.close()
            _drain(receiver)
            daemon.terminate()
        receiver.close()
    concurrency = CONCURRENCY * len(QUEUES)
    return check(feeder.ledger, receiver.requests, ground.remains(), kills, concurrency)


def _drain(receiver: Receiving) -> None:
    """Wait until nothing has arrived for longer than any task waits."""
    ended = time.monotonic() + LONGEST_DRAIN
    quiet_since = time.monotonic()
    while time.monotonic() < min(ended, quiet_since + QUIET_SECONDS):
        if receiver.look():
            quiet_since = time.monotonic()
        time.sleep(_LOOK_AGAIN_SECONDS)


def tell(run: Run, findings: Findings, seconds: float, console: Console) -> None:
    """Print a line for each figure, and the closing line."""
    out = console.out
    out(f"broker {run.broker}  seed {run.seed}  {seconds:.0f} s  requests {findings.requests}")
    ran = findings.unknown_that_ran
    out(f"accepted {findings.accepted}  unanswered {findings.unknown}, of which {ran} ran")
    out(f"wrong ends {findings.wrong_ends}  attempts {findings.wrong_attempts}", end="  ")
    out(f"ids {findings.wrong_ids}  started after expiry {findings.late_starts}")
    out(f"requests repeated {findings.duplicated}  roll-backs repeated {findings.undone_twice}")
    out(
        f"dead letters repeated {findings.buried_twice}  expired after {findings.undecided} answers"
    )
    out(f"in flight at the kills: at most {findings.bound}; as the receiver saw it", end=" ")
    out(f"{findings.tight_bound}")
    out(f"left in the broker besides dead letters: {findings.leftovers or 'nothing'}")
    if not findings.passed:
        for what, examples in findings.examples.items():
            for example in examples:
                out(f"  {what}: {example}")
    verdict = "PASS" if findings.passed else "FAIL"
    out(
        f"lost {findings.lost} early {findings.early} duplicated {findings.duplicated} "
        f"(bound {findings.bound}) kills {findings.kills} {verdict}"
    )


def _read_arguments() -> tuple[Run, bool]:
    parser = argparse.ArgumentParser(prog="python -m bench.crashes", description=__doc__)
    parser.add_argument("--broker", choices=("embedded", "rabbitmq"), default="embedded")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the findings on standard output")
    chosen = parser.parse_args()
    return Run(chosen.broker, chosen.tasks, chosen.kills, chosen.seed), chosen.json


def main() -> int:
    run, as_json = _read_arguments()
    console = Console(stderr=as_json)
    if run.broker == "rabbitmq" and Installation.find() is None:
        console.out(HOW_TO_GET_ONE)
        return 69
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wr-crashes-") as name:
        lay = embedded if run.broker == "embedded" else rabbitmq
        with lay(Path(name)) as ground:
            findings = carry_out(run, ground, Path(name), console)
    tell(run, findings, time.monotonic() - began, console)
    if as_json:
        print(json.dumps(asdict(run) | asdict(findings) | {"passed": findings.passed}))
    return 0 if findings.passed else 1


if __name__ == "__main__":
    sys.exit(main())
