"""A broker at work, with a consumer and an observer that remember and can be waited for."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from webhook_runner.ports import Broker, Delivery
from webhook_runner.task.event import Event
from webhook_runner.task.model import Envelope, Task
from webhook_runner.task.notice import Notice
from webhook_runner.task.progress import due_milliseconds

PATIENCE = 60.0
E = TypeVar("E")
B = TypeVar("B", bound=Broker)


class WallClock:
    """The machine's clocks; ``ahead`` sets the wall clock forward by so many seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sleep_until(self, when: float) -> None:
        while (wait := when - self.now()) > 0:  # noqa: ASYNC110 - the wall clock tells nobody
            await asyncio.sleep(min(wait, 1.0))


class Notes:
    """An observer whose notes can be waited for."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[E], count: int = 1) -> list[E]:
        """Wait until so many events of a kind have been noticed."""
        await until(lambda: len(self.of(kind)) >= count, f"{count} {kind.__name__}")
        return self.of(kind)


@dataclass(slots=True, eq=False)
class Taken:
    """A delivery with the moment it came, in epoch seconds, and the door it came by."""

    delivery: Delivery
    at: float
    direct: bool

    @property
    def id(self) -> str:
        return str(self.delivery.message.headers.get("wr-id", ""))

    @property
    def late(self) -> float:
        """Seconds since the task was due; below zero is early."""
        return self.at - int(self.delivery.message.headers["wr-due"]) / 1000


@dataclass(slots=True, eq=False)
class Recorder:
    """A consumer that takes everything; ``settles`` acks at once, ``busy`` refuses to take now."""

    broker: Broker
    clock: WallClock
    settles: bool = True
    busy: bool = False
    taken: list[Taken] = field(default_factory=list)
    _tasks: set[asyncio.Task[bool]] = field(default_factory=set)

    def receive(self, delivery: Delivery) -> None:
        self._take(delivery, direct=False)

    def take_now(self, delivery: Delivery) -> bool:
        if not self.busy:
            self._take(delivery, direct=True)
        return not self.busy

    @property
    def ids(self) -> set[str]:
        return {taken.id for taken in self.taken}

    @property
    def bodies(self) -> list[bytes]:
        return [taken.delivery.message.body for taken in self.taken]

    async def until(self, count: int) -> list[Taken]:
        """Wait until so many deliveries have come."""
        await until(lambda: len(self.taken) >= count, f"{count} deliveries")
        return self.taken

    async def until_ids(self, ids: Iterable[str]) -> None:
        """Wait until each of these tasks has come."""
        wanted = set(ids)
        await until(lambda: wanted <= self.ids, f"{len(wanted)} tasks")

    async def settled(self) -> None:
        """Wait until every ack on its way is answered."""
        await asyncio.gather(*self._tasks)

    def _take(self, delivery: Delivery, *, direct: bool) -> None:
        self.taken.append(Taken(delivery, self.clock.now(), direct))
        if self.settles:
            task = asyncio.ensure_future(self.broker.ack(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


@dataclass(slots=True, eq=False)
class Heard:
    """A listener that remembers notices and words in the order they came."""

    said: list[Notice | bytes] = field(default_factory=list)

    def recall(self, notice: Notice) -> None:
        self.said.append(notice)

    def hear(self, word: bytes) -> None:
        self.said.append(word)

    @property
    def notices(self) -> list[Notice]:
        return [each for each in self.said if isinstance(each, Notice)]

    @property
    def words(self) -> list[bytes]:
        return [each for each in self.said if isinstance(each, bytes)]

    async def until(self, *said: Notice | bytes) -> None:
        """Wait until each of these has been said."""
        await until(lambda: all(each in self.said for each in said), f"{said[:3]}")


@dataclass(slots=True, eq=False)
class Running(Generic[B]):
    """A broker that runs, and what it has told; ``heard`` is its listener."""

    broker: B
    clock: WallClock
    notes: Notes
    run: asyncio.Task[None]
    heard: Heard = field(default_factory=Heard)

    def recorder(self, *, settles: bool = True, busy: bool = False) -> Recorder:
        return Recorder(self.broker, self.clock, settles, busy)

    async def consuming(self, queue: str, prefetch: int = 100, **how: bool) -> Recorder:
        """Consume a queue and wait until that is so."""
        recorder = self.recorder(**how)
        await self.broker.consume(queue, recorder, prefetch)
        await until(lambda: queue in self.broker.state().consuming, f"consuming {queue}")
        return recorder

    def envelope(
        self, name: str, queue: str, wait: float = 0.0, body: bytes = b'{"url":"http://a.example"}'
    ) -> Envelope:
        """Build a task that is due in ``wait`` seconds."""
        now = self.clock.now()
        task = Task(id=name, queue=queue, url="http://a.example", source=body)
        return Envelope(task, first_at=now, due_at=due_milliseconds(now + wait) / 1000)

    async def until_writable(self) -> None:
        """Wait until a publish would be taken. Raises what ended the broker before."""
        writable = asyncio.ensure_future(self.broker.writable())
        await asyncio.wait((writable, self.run), return_when=asyncio.FIRST_COMPLETED)
        if self.run.done():
            writable.cancel()
            self.run.result()

    async def stop(self) -> None:
        await self.broker.drain()
        self.run.cancel()
        await asyncio.gather(self.run, return_exceptions=True)


async def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Look every few milliseconds whether something holds. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.005)
