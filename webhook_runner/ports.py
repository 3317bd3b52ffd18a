"""What the journeys need of the world, in our words: broker, store, dispatcher, observer, clock."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from webhook_runner.task.event import Event
from webhook_runner.task.model import Envelope, Message, Task
from webhook_runner.task.notice import Aside, Depths, Notice, PutAside
from webhook_runner.task.outcome import Outcome
from webhook_runner.task.record import (
    Attempt,
    Change,
    Claim,
    Entry,
    Holder,
    QueueCount,
    TaskPage,
    TaskQuery,
    TaskRecord,
)
from webhook_runner.task.request import Request


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One handing-over of a message by the broker.

    Attributes:
        queue: the work queue it is meant for.
        redeliveries: how often it was handed over before without being settled.
        counted: the broker keeps that number (quorum queues); if not, it is 0 or 1.
        handle: the adapter's own; nobody else looks inside.

    """

    queue: str
    message: Message
    redeliveries: int = 0
    counted: bool = True
    handle: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class BrokerState:
    """How the broker stands.

    Attributes:
        connected: it can be worked with, but for what ``blocked`` says.
        blocked: its reason for taking no publishes now, or an empty string.
        consuming: the work queues whose deliveries are handed over.

    """

    connected: bool = False
    blocked: str = ""
    consuming: frozenset[str] = frozenset()


class Consumer(Protocol):
    """Who takes the deliveries of one queue. Neither call may block or raise."""

    def receive(self, delivery: Delivery) -> None:
        """Take a delivery, which may wait for the limits of its queue."""

    def take_now(self, delivery: Delivery) -> bool:
        """Take a delivery that is due now. False: its queue is full, and it is to go there."""


class Broker(Protocol):
    """The message broker. Every publish is confirmed before it returns, through reconnects.

    A publish that the broker confirmed may still be repeated after a connection was lost in
    between: copies of one publish share (id, run, gen).
    What is ready in a queue is handed over in the order of its publishes. What was given back, or
    lost with its connection, comes before what was not handed over yet.

    A copy that follows one in our hands (the same id and run, the next gen) and a dead letter may
    settle that one in the same breath; it is acknowledged all the same.
    """

    async def run(self) -> None:
        """Keep connected, topology declared and the wheel turning, until cancelled.

        Raises:
            TopologyError: a broker object is missing or wrong and may not be mended by us.

        """

    async def serve(self, queues: tuple[str, ...]) -> None:
        """Make these work queues be there, now and after every reconnect, and no others."""

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        """Hand the deliveries of ``queue`` to ``consumer``; again to change the prefetch."""

    async def stop_consuming(self, queue: str) -> None:
        """Hand over no more of ``queue``; what is unsettled stays ours to settle."""

    async def enqueue(self, envelope: Envelope) -> None:
        """Publish to the work queue of the task."""

    async def park(self, envelope: Envelope) -> None:
        """Publish so that it comes back at ``envelope.due_at``, not a millisecond earlier."""

    async def bury(self, envelope: Envelope, summary: bytes) -> None:
        """Publish the dead letter: the task's own bytes, with the failure as headers.

        ``summary`` is the JSON of what the last attempt met with.
        """

    async def quarantine(
        self, delivery: Delivery, reason: str, explanation: str, field: str = ""
    ) -> None:
        """Publish an invalid message, byte for byte, with reason and bad field as headers."""

    async def ack(self, delivery: Delivery) -> bool:
        """Settle for good. False when the connection it came by is gone: it will come again."""

    async def release(self, delivery: Delivery) -> None:
        """Give back untouched, to be handed over again."""

    def is_lost(self, delivery: Delivery) -> bool:
        """Whether the connection it came by is gone, so that it will be handed over again."""

    async def writable(self) -> None:
        """Wait until a publish would be taken: connected and not blocked."""

    def state(self) -> BrokerState:
        """Return how it stands now."""

    def scheduled(self) -> int:
        """Return how many tasks wait for their time, as of a moment ago."""

    async def drain(self) -> None:
        """Stop consuming everything, give back what waits for its time, flush, disconnect."""


class Listener(Protocol):
    """Who hears what daemons tell each other. Neither call may block or raise."""

    def recall(self, notice: Notice) -> None:
        """Take a notice that is kept: those of before, oldest first, then each as it comes."""

    def hear(self, word: bytes) -> None:
        """Take a word that is not kept, of another daemon or of this one."""


class Board(Protocol):
    """What daemons that share a broker tell each other."""

    def attend(self, listener: Listener) -> None:
        """Name who hears, before the broker runs. Nothing is consumed before ``recalled``."""

    async def post(self, notices: Sequence[Notice]) -> None:
        """Keep notices for 400 days, longer than any delay; confirmed when this returns."""

    async def call(self, word: bytes) -> None:
        """Say something to every daemon that listens now, this one included; confirmed.

        Words of one daemon are heard in their order, and not before notices it had posted.
        """

    async def recalled(self) -> None:
        """Wait until what was kept has been recalled and words are heard, by this connection."""


class Shelf(Protocol):
    """What lies in a queue, or was put aside from it. All raise BrokerUnavailableError."""

    def walk(
        self, aside: Aside, queue: str
    ) -> AbstractAsyncContextManager[AsyncIterator[PutAside]]:
        """Look at what was put aside, oldest first; what is not removed is there afterwards."""

    async def remove(self, item: PutAside) -> None:
        """Remove one, within the walk that showed it."""

    async def clear(self, aside: Aside, queue: str) -> int:
        """Remove all that was put aside; how many that were."""

    async def depths(self, queue: str) -> Depths:
        """Count what lies there now."""

    async def purge(self, queue: str) -> int:
        """Remove what is ready in a work queue and in nobody's hands; how many that were."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """How the store stands: why nothing can be written now, or "".

    Attributes:
        kind: sqlite, postgresql or none.
        waits: with trouble, no task goes on before it is over (``on_failure = "strict"``).

    """

    kind: str
    trouble: str = ""
    waits: bool = True


class Store(Protocol):
    """What is known of tasks. The broker decides whether a task runs; this says what became of it.

    Questions see all that was noted before, and wait while it is opened; they raise
    StoreUnavailableError, and with none NoStoreError.
    """

    async def run(self) -> None:
        """Write until cancelled, then what is left. Raises StoreError when it cannot be used."""

    def record(self, entry: Entry) -> None:
        """Note an entry, to be written soon with others. Never blocks nor raises."""

    async def kept(self) -> None:
        """Wait until everything noted so far is written; while in trouble, as ``waits`` says."""

    async def usable(self) -> None:
        """Wait until work may go on: there is no trouble, or it need not be waited for."""

    def state(self) -> StoreState:
        """Return how it stands now."""

    async def advance(self, change: Change) -> bool:
        """Write a change and tell whether it was one: False when the run is there, or further."""

    async def find(self, task_id: str, run: int | None = None) -> TaskRecord | None:
        """Return a run of a task, the latest if none is named, as of all that was noted."""

    async def latest(self, task_id: str, fingerprint: bytes) -> TaskRecord | None:
        """Return the latest run of a task that has this content, as of all that was noted."""

    async def attempts(self, task_id: str, run: int) -> list[Attempt]:
        """Return the attempts of a run, in their order."""

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """List runs. Raises ValueError for a cursor that is none."""

    async def counts(self) -> list[QueueCount]:
        """Count the tasks that have not ended, by queue and state."""

    async def claim(self, claim: Claim) -> Holder:
        """Claim a key, unless somebody has it."""

    async def keep_claim(self, key: str, run: int) -> None:
        """Note that the task of a claim is kept by the broker."""

    async def drop_claim(self, key: str, run: int) -> None:
        """Give a claim back whose task was certainly not kept."""

    def export(self, before: float) -> AsyncIterator[dict[str, object]]:
        """Go through the runs that ended before a time (epoch seconds), as JSON's own values."""

    async def forget(self, before: float) -> int:
        """Delete what ``export`` goes through; how many runs that were."""

    async def close(self) -> None:
        """Write what is left, and close."""


class Dispatcher(Protocol):
    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        """Send one request and name what it met with. Never raises for what the network does.

        Cancelling it closes the connection.
        """

    async def close(self) -> None:
        """Close idle connections."""


class Observer(Protocol):
    def notice(self, event: Event) -> None:
        """Take note of a fact. Must not block or raise."""


class Clock(Protocol):
    """Wall clock for due times, monotonic clock for waits."""

    def now(self) -> float:
        """Epoch seconds."""

    def monotonic(self) -> float:
        """Seconds that never step."""

    async def sleep(self, seconds: float) -> None: ...

    async def sleep_until(self, when: float) -> None:
        """Sleep until the wall clock shows ``when`` or later, also when it is set meanwhile."""


Dice = Callable[[], float]
"""A number in [0, 1) for jitter."""

Extension = Callable[[Request, Task], Request | Awaitable[Request]]
"""What an operator's extension does: change the request, or raise ``Refuse``."""
