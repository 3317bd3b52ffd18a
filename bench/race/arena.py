"""Where races take place: one broker, one receiver; each worker finds its queue filled."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench.race.contender import QUEUE, Contender, Ground
from bench.race.lap import BEGIN, END, Lap, Reading, judge
from bench.race.ours import inherited
from bench.race.sink import Sink
from bench.race.tree import Tree
from bench.race.wire import NUMBER, Wire, letter, numbered
from tests.parts.broker import HOW_TO_GET_ONE
from tests.parts.guardian import Guardian
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.vhosts import VhostPool

NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"
"""The broker shares its processors with all others: it does not wait in a loop."""
LONGEST_SECONDS = 120.0
_LOOK_AGAIN_SECONDS = 0.004
_WEIGH_SECONDS = 0.25


class RaceError(RuntimeError):
    """A worker ended, or did not do all that it was given."""


class Worker:
    """A worker as a process, with all that it starts; its directory is gone when it is."""

    def __init__(self, contender: Contender, ground: Ground) -> None:
        command = contender.command(ground)
        self._log = ground.directory / "worker.log"
        self._guardian = Guardian(ground.directory)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command.arguments,
                cwd=ground.directory,
                env=inherited() | dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._guardian.guard(self._process.pid)
        if contender.cpus:
            os.sched_setaffinity(self._process.pid, contender.cpus)
        self.tree = Tree(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it: what it was given is done, and the next one begins with an empty queue."""
        self._guardian.close()
        self._process.wait()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, words: bytes) -> None:
        """Wait until this stands in its log. Raises RaceError."""
        ended = time.monotonic() + LONGEST_SECONDS
        while words not in self._log.read_bytes():
            if not self.running or time.monotonic() > ended:
                raise RaceError(self.tail())
            time.sleep(_LOOK_AGAIN_SECONDS)

    def tail(self) -> str:
        return self._log.read_bytes()[-3000:].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Course:
    """What has to be done: so many tasks, each by so many requests, to so many hosts.

    ``step`` is what the receiver is told by the path: "t", "slow", "fail".
    """

    tasks: int
    step: str = "t"
    hosts: int = 1
    requests: int = 1

    def targets(self, sink: Sink) -> list[str]:
        """Return the URLs, the number of the task still to be put in."""
        return [f"{sink.url(host)}/{self.step}/{NUMBER}" for host in range(1, self.hosts + 1)]


@dataclass(slots=True)
class Arena:
    """A broker and a directory; `open_arena` makes one."""

    directory: Path
    node: RabbitNode
    vhosts: VhostPool
    _urls: dict[str, str] = field(default_factory=dict)

    def ground(self, contender: Contender, kind: str) -> Ground:
        """Return an empty queue of this kind in a virtual host of the contender's own."""
        name = f"{contender.name}-{kind}".replace(" ", "-")
        if name not in self._urls:
            self._urls[name] = self.node.vhost_url(self.vhosts.take())
        with Wire(self._urls[name]) as wire:
            wire.declare(QUEUE, kind, contender.arguments(kind))
        place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))
        return Ground(place, self._urls[name], kind)

    def race(self, contender: Contender, kind: str, sink: Sink, course: Course) -> Lap:
        """Fill the queue, start the worker, and measure it while it empties the queue.

        Raises:
            RaceError: it did not do all of it.

        """
        ground = self.ground(contender, kind)
        sink.forget()
        fill(ground, contender, course.targets(sink), course.tasks)
        with Worker(contender, ground) as worker:
            return run(worker, sink, course)


def fill(ground: Ground, contender: Contender, targets: Sequence[str], tasks: int) -> None:
    """Publish so many tasks, for these URLs in turn."""
    messages = [contender.message(target) for target in targets]
    packed = [letter(QUEUE, each.body, each.properties) for each in messages]
    with Wire(ground.broker) as wire:
        wire.publish(numbered(packed[n % len(packed)], n) for n in range(tasks))


def run(worker: Worker, sink: Sink, course: Course) -> Lap:
    """Watch a worker until all is done. Raises RaceError."""
    scales, requests = Scales(worker, sink), course.tasks * course.requests
    begin = scales.reached(int(requests * BEGIN))
    end = scales.reached(int(requests * END))
    scales.reached(requests)
    must_be_done(worker, sink, course.tasks)
    return judge(sink.times(), begin, end, requests, scales.resident, scales.proportional)


def must_be_done(worker: Worker, sink: Sink, tasks: int) -> None:
    """See to it that each task was done. Raises RaceError."""
    missing = tasks - len(set(sink.numbers()))
    if missing:
        raise RaceError(f"{missing} of {tasks} were not done\n{worker.tail()}")


class Scales:
    """Reads what a worker takes, and weighs it now and then."""

    def __init__(self, worker: Worker, sink: Sink) -> None:
        self.resident = self.proportional = 0
        self._worker = worker
        self._sink = sink
        self._weighed = 0.0

    def reached(self, requests: int) -> Reading:
        """Return the moment at which so many have come. Raises RaceError."""
        ended = time.monotonic() + LONGEST_SECONDS
        while (done := self._sink.count()) < requests:
            now = time.monotonic()
            if now > ended or not self._worker.running:
                raise RaceError(f"{done} of {requests} came\n{self._worker.tail()}")
            if now > self._weighed + _WEIGH_SECONDS:
                self._weigh(now)
            time.sleep(_LOOK_AGAIN_SECONDS)
        cpu, sink = self._worker.tree.cpu_seconds(), self._sink.cpu_seconds()
        reading = Reading(time.monotonic(), self._sink.count(), cpu, sink)
        self._weigh(reading.at)
        return reading

    def _weigh(self, now: float) -> None:
        self._weighed = now
        self.resident = max(self.resident, self._worker.tree.resident_bytes())
        self.proportional = max(self.proportional, self._worker.tree.proportional_bytes())


@contextmanager
def open_arena() -> Iterator[Arena]:
    """Start a broker.

    Raises:
        LookupError: there is no RabbitMQ.

    """
    if Installation.find() is None:
        raise LookupError(HOW_TO_GET_ONE)
    with (
        tempfile.TemporaryDirectory(prefix="wr-race-") as name,
        RabbitNode.start(erl_args=NO_SPINNING) as node,
    ):
        node.ctl("await_startup")
        yield Arena(Path(name), node, VhostPool(node))
