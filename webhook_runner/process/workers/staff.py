"""All workers of a daemon: started, told, asked how they stand, restarted, and let go."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from webhook_runner.api.events import EventHub, Told
from webhook_runner.engine.control import Control
from webhook_runner.engine.destination import Standing
from webhook_runner.engine.first import first_of
from webhook_runner.engine.queues import Queues
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.observe.sink import Sink
from webhook_runner.observe.tallies import Tallies
from webhook_runner.ports import Clock, Observer, Store
from webhook_runner.process.bell import Bell
from webhook_runner.process.workers.allotment import Allotment
from webhook_runner.process.workers.outlook import Outlook
from webhook_runner.process.workers.seat import Seat
from webhook_runner.process.workers.settings_text import part_of, written
from webhook_runner.process.workers.store_desk import stands
from webhook_runner.process.workers.wire import (
    Adopt,
    Begin,
    Destinations,
    FromWorker,
    Lines,
    Listen,
    Look,
    Missed,
    News,
    Pause,
    Portions,
    Stands,
    Totals,
    ToWorker,
)
from webhook_runner.settings import Settings
from webhook_runner.task.event import Event, StoreFailed, StoreMended, Warned
from webhook_runner.task.worker_event import WorkerEnded, WorkerStarted

RETRY_SECONDS = 1.0
LONGEST_RETRY = 60.0
LONG_LIFE = 60.0
"""Seconds after which a worker that ends was no failed start."""

PATIENCE = 1.0
"""Seconds for which an answer of a worker is waited for."""

DEAF_SECONDS = 60.0
"""One that is silent for so long is ended, for another to take its place."""

LOOK_SECONDS = 5.0
GRACE_SECONDS = 8.0
"""So long after ``shutdown_timeout`` a worker that has not ended is killed."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts of the daemon that workers have to do with."""

    queues: Queues
    store: Store
    control: Control
    hub: EventHub
    metrics: MetricsObserver
    sink: Sink
    bell: Bell
    clock: Clock


class Staff:
    """See ``process.alone.Workforce``. An observer too: workers are told how the store stands."""

    def __init__(
        self, settings: Settings, desk: Desk, observer: Observer, make_name: Callable[[], str]
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._observer = observer
        self._make_name = make_name
        self._tallies = desk.metrics.page = Tallies(desk.metrics.registry)
        count = settings.processes
        self._allotment = Allotment(count)
        self._seats = [Seat(number, desk.store, self._take) for number in range(count)]
        self._outlook = Outlook(self._seats, self._allotment, desk.queues)
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._paused = False
        self._listening = False
        self._looked = 0
        self._answers: dict[int, list[list[Standing]]] = {}
        self._answered = asyncio.Event()
        desk.hub.on_listening = self._listen

    def notice(self, event: Event) -> None:
        if isinstance(event, StoreFailed | StoreMended):
            for seat in self._seats:
                seat.tell_store()

    async def run(self) -> None:
        self._keepers = [asyncio.ensure_future(self._keep(seat)) for seat in self._seats]
        watching = asyncio.ensure_future(self._listen_for_silence())
        try:
            # Who is cancelled here does not cancel them: they are to end in order.
            works = [watching, *self._keepers]
            ended, _ = await asyncio.wait(works, return_when=asyncio.FIRST_EXCEPTION)
            for each in ended:
                each.result()
        finally:
            watching.cancel()
            await self._end(GRACE_SECONDS, hurry=True)

    def adopt(self, settings: Settings) -> None:
        self._settings = settings
        self._desk.bell.rung.set()
        self._want()
        self._allotment.next()
        for seat in self._seats:
            seat.send(Adopt(self._settings_of(seat), self._allotment.now(seat.number)))

    def divide(self) -> None:
        self._want()
        self._hand_out()

    def pause(self, *, paused: bool) -> None:
        self._paused = paused
        self._tell(Pause(paused))

    def consuming(self) -> frozenset[str]:
        return self._outlook.consuming(self._settings.queues)

    def scheduled(self) -> int:
        return self._outlook.scheduled()

    def troubles(self) -> Mapping[str, str]:
        return self._outlook.troubles()

    async def standings(self) -> list[Standing]:
        """Return how destinations stand with the workers, as far as they answer in time."""
        self._looked += 1
        number, answers = self._looked, self._answers
        answers[number] = []
        asked = sum(seat.stands is not None for seat in self._seats)
        self._tell(Look(number))
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while len(answers[number]) < asked:
                    await self._answered.wait()
                    self._answered.clear()
        return [each for told in answers.pop(number) for each in told]

    async def drain(self, hurry: asyncio.Event) -> int:
        ending = asyncio.ensure_future(
            self._end(self._settings.shutdown_timeout + GRACE_SECONDS, hurry=hurry.is_set())
        )
        hurrying = asyncio.ensure_future(hurry.wait())
        await asyncio.wait((ending, hurrying), return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            for seat in self._seats:
                seat.stop(hurry=True)
        hurrying.cancel()
        await ending
        return sum(seat.interrupted for seat in self._seats)

    async def _end(self, patience: float, *, hurry: bool) -> None:
        """Have all end, who is late by force."""
        self._stopping.set()
        for seat in self._seats:
            seat.stop(hurry=hurry)
        if not self._keepers:
            return
        _, late = await asyncio.wait(self._keepers, timeout=patience)
        if late:
            for seat in self._seats:
                seat.kill()
            await asyncio.wait(late)

    async def _keep(self, seat: Seat) -> None:
        """Have one worker after the other at a seat."""
        clock, wait = self._desk.clock, RETRY_SECONDS
        while not self._stopping.is_set():
            began = clock.monotonic()
            pid, how = await self._employ(seat)
            if clock.monotonic() - began >= LONG_LIFE:
                wait = RETRY_SECONDS
            self._mourn(seat)
            if not self._stopping.is_set():
                self._observer.notice(WorkerEnded(seat.shown, pid, how, wait))
                await first_of(clock.sleep(wait), self._stopping.wait())
                wait = min(wait * 2, LONGEST_RETRY)

    async def _listen_for_silence(self) -> None:
        """End those that hang: their work goes to others only when they have ended."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for seat in self._seats:
                if seat.stands is not None and loop.time() - seat.heard_at > DEAF_SECONDS:
                    text = f"worker {seat.shown} hangs: silent for {DEAF_SECONDS:g} s, killed"
                    self._observer.notice(Warned(f"worker {seat.name}", text))
                    seat.kill()

    async def _employ(self, seat: Seat) -> tuple[int, str]:
        await first_of(self._desk.store.usable(), self._stopping.wait())
        if self._stopping.is_set():
            return 0, ""
        try:
            pid = await seat.start()
        except OSError as error:
            return 0, f"cannot be started: {error}"
        self._observer.notice(WorkerStarted(seat.shown, pid))
        if self._stopping.is_set():  # nobody has told it
            seat.kill()
        return pid, await seat.live(self._begin(seat))

    def _begin(self, seat: Seat) -> Begin:
        self._want()
        self._allotment.employ(seat.number)
        self._hand_out()
        return Begin(
            self._make_name(),
            seat.shown,
            self._settings_of(seat),
            stands(self._desk.store),
            self._allotment.now(seat.number),
            self._paused,
            self._listening,
        )

    def _mourn(self, seat: Seat) -> None:
        """Let what a worker had go back to where it came from."""
        desk = self._desk
        self._tallies.retire(seat.number)
        if seat.name:
            desk.control.fellows.farewell(seat.name)
        seat.name = ""
        self._allotment.bury(seat.number)
        self._hand_out()
        self._outlook.note_running()
        desk.bell.rung.set()

    def _take(self, number: int, message: FromWorker) -> None:
        desk = self._desk
        match message:
            case Stands(applied, queues=queues):
                running = {name: each.running for name, each in queues.items()}
                self._allotment.hear(number, applied, running)
                self._hand_out()
                self._outlook.note_running()
                desk.bell.rung.set()
            case Destinations(number=of, standings=standings) if of in self._answers:
                self._answers[of].append(standings)
                self._answered.set()
            case Totals(samples):
                self._tallies.take(number, samples)
            case News(name, data, queue, state, task):
                desk.hub.pass_on(Told("", name, data, queue, state, task))
            case Missed():
                desk.hub.lose_count()
            case Lines(text):
                desk.sink.write(text.removesuffix("\n"))
            case _:
                return

    def _want(self) -> None:
        lanes = self._desk.queues.consumers
        self._allotment.want({name: each.lane.settings for name, each in lanes.items()})

    def _hand_out(self) -> None:
        changed: Mapping[int, Portions] = self._allotment.next()
        for number, portions in changed.items():
            self._seats[number].send(portions)

    def _settings_of(self, seat: Seat) -> bytes:
        return written(part_of(self._settings, seat.number, len(self._seats)))

    def _listen(self, listening: bool) -> None:  # noqa: FBT001 - a callback
        self._listening = listening
        self._tell(Listen(listening))

    def _tell(self, message: ToWorker) -> None:
        for seat in self._seats:
            seat.send(message)
