"""What the journeys need of the world, in our words: broker, dispatcher, observer, clock."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from webhook_runner.task.event import Event
from webhook_runner.task.model import Envelope, Message, Task
from webhook_runner.task.outcome import Outcome
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
        """Take a delivery that is due now if a slot and a token are free, else answer False."""


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

    async def quarantine(self, delivery: Delivery, reason: str, explanation: str) -> None:
        """Publish an invalid message, byte for byte, with the reason as headers."""

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
