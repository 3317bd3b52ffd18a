"""One chaos run from its start to its findings."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.check import Checker, Limits
from bench.faults import TEMPI, Event, Faults, Tempo, duration
from bench.feeding import Feeders, Pace
from bench.findings import Findings
from bench.fleet import Fleet, Setup, sleep_until
from bench.ledger import Ledger
from bench.nemesis import YOUNG_SECONDS, BrokerNemesis, Nemesis
from bench.received import Receiving
from bench.script import Recipe
from bench.terrain import Terrain, embedded, rabbitmq
from tests.parts.node import RabbitNode

LONGEST_WAIT = 60.0
_LOOK_AGAIN_SECONDS = 0.5
NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True)
class Run:
    """What to do: on which broker, with how many daemons, tasks and faults; the dice."""

    broker: str = "embedded"
    daemons: int = 1
    tasks: int = 2000
    seed: int = 1
    store: str = "none"
    tempo: str = "full"
    hostile: bool = True
    more: str = ""
    faults: Faults = NO_FAULTS

    @property
    def recipe(self) -> Recipe:
        tempo = TEMPI[self.tempo]
        return Recipe(self.seed, tempo.longest_delay, tempo.patience, self.hostile)


@dataclass(frozen=True, slots=True)
class Result:
    """What was found, what was done when, and how many seconds all of it took."""

    run: Run
    findings: Findings
    events: list[Event]
    seconds: float


def carry_out(
    run: Run, directory: Path, console: Console, node: RabbitNode | None = None
) -> Result:
    """Do the run and check it; on this RabbitMQ, or on one just started."""
    began = time.monotonic()
    with _ground(run, directory, node) as terrain:
        findings, events = _on(terrain, run, directory, console)
    return Result(run, findings, events, time.monotonic() - began)


@contextmanager
def _ground(run: Run, directory: Path, node: RabbitNode | None) -> Iterator[Terrain]:
    if run.broker == "embedded":
        with embedded(directory, run.store) as terrain:
            yield terrain
    else:
        with rabbitmq(directory, run.store, node) as terrain:
            yield terrain


def _on(
    terrain: Terrain, run: Run, directory: Path, console: Console
) -> tuple[Findings, list[Event]]:
    tempo = TEMPI[run.tempo]
    with Receiving(directory) as receiver, Ledger(directory / "ledger") as ledger:
        setup = Setup(terrain.server, receiver.url, terrain.store, tempo.heartbeat, run.more)
        with Fleet(directory, run.daemons, setup) as fleet:
            nemesis = Nemesis(fleet, tempo, run.seed)
            if terrain.rabbit is not None:
                nemesis = BrokerNemesis(fleet, tempo, run.seed, terrain.rabbit, ledger)
            fleet.start()
            doors = terrain.doors(fleet.ports, receiver.hosts)
            feeders = Feeders(doors, run.recipe, ledger, Pace(tempo.batch, tempo.between))
            with _Stage(run, nemesis, feeders, receiver, console) as stage:
                stage.play()
                feeders.close()
                stage.drain(terrain.waiting)
            nemesis.troubles += fleet.end()
        receiver.close()
        receiver.look()
        checker = Checker(run.recipe.task, nemesis.events, Limits(daemons=run.daemons))
        checker.findings.troubles = nemesis.troubles
        return checker.check(ledger.read(), receiver.requests, terrain.remains()), nemesis.events


class _Stage:
    """Lets faults and work take turns, and shows how far it is."""

    def __init__(
        self, run: Run, nemesis: Nemesis, feeders: Feeders, receiver: Receiving, console: Console
    ) -> None:
        self._run = run
        self._tempo: Tempo = TEMPI[run.tempo]
        self._nemesis = nemesis
        self._feeders = feeders
        self._receiver = receiver
        self._dice = random.Random(f"{run.seed}/gaps")
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("accepted"),
            TimeElapsedColumn(),
            console=console,
        )
        self._bar = self._progress.add_task("start", total=run.tasks)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def play(self) -> None:
        """Do every fault, each while tasks are handed in and carried out."""
        order = self._run.faults.in_order(self._run.seed)
        portion = self._run.tasks / (len(order) + 1)
        self._work_goes_on(portion, portion)
        time.sleep(YOUNG_SECONDS)
        for number, kind in enumerate(order, 1):
            self._show(f"{number}/{len(order)} {kind}")
            self._feeders.allow(int(portion * (number + 1)))
            self._nemesis.do(kind)
            self._work_goes_on(portion * (number + self._dice.random()), portion)
            time.sleep(duration(self._dice, self._tempo.gap))
        self._show("the rest")
        self._feeders.allow(self._run.tasks)

    def drain(self, waiting: Callable[[], int]) -> None:
        """Wait until nothing waits or runs any more, or nothing has moved for too long."""
        self._show("drain")
        patience = self._tempo.longest_delay + self._tempo.patience + LONGEST_WAIT
        moved, seen, at_rest = time.monotonic(), -1, 0
        while at_rest < 2 and time.monotonic() < moved + patience:
            left, count = waiting(), self._receiver.count()
            at_rest = at_rest + 1 if left == 0 else 0
            if count != seen:
                moved, seen = time.monotonic(), count
            self._show(f"drain, {left} left")
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _work_goes_on(self, accepted: float, portion: float) -> None:
        """Wait until requests arrive again and so many tasks are accepted; not for ever."""
        seen, feeders = self._receiver.count(), self._feeders
        more = max(accepted, feeders.accepted + portion / 2)
        feeders.allow(min(int(more), self._run.tasks))

        def going_on() -> bool:
            self._show()
            if feeders.failed or feeders.accepted >= self._run.tasks:
                return True
            return feeders.accepted >= int(accepted) and self._receiver.count() > seen

        sleep_until(going_on, LONGEST_WAIT)

    def _show(self, what: str | None = None) -> None:
        self._progress.update(self._bar, completed=self._feeders.accepted, description=what)
