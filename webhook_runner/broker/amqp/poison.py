"""Takes what has ended too many deliveries, and parks it to be tried once more, alone."""

import asyncio
from collections.abc import Mapping
from uuid import uuid4

from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.message import delivery_of, quarantined, task_message
from webhook_runner.broker.amqp.session import Session
from webhook_runner.broker.amqp.topology import slot_key
from webhook_runner.broker.amqp.wheel import WheelDriver
from webhook_runner.broker.apart import set_apart, warning
from webhook_runner.broker.letter import invalid_marks
from webhook_runner.errors import InvalidTaskError
from webhook_runner.policy.delay import Wheel
from webhook_runner.task.model import Envelope

PREFETCH = 50


class Poison:
    """Consumes the queue behind the dead-letter exchange of the work queues."""

    def __init__(self, session: Session, wheel: WheelDriver, policy: Wheel) -> None:
        self._session = session
        self._wheel = wheel
        self._policy = policy
        self._clock = session.around.clock
        self._topology = session.around.topology
        self._channel: Channel | None = None
        self._tag = ""
        self._arrivals: asyncio.Queue[Arrival] = asyncio.Queue()

    async def run(self) -> None:
        """Work until cancelled. Raises LostError and TopologyError."""
        self._channel = await self._session.channel("the poison queue")
        self._channel.on_cancel(self._cancelled)
        await self._consume(self._channel)
        while True:
            await self._settle(await self._arrivals.get())

    async def close(self) -> None:
        """Take no more. Raises LostError."""
        tag, self._tag = self._tag, ""
        if self._channel is not None and tag:
            await self._channel.cancel(tag)
            await self._channel.flush()

    async def _consume(self, channel: Channel) -> None:
        self._tag = f"{self._topology.poison}-{uuid4().hex}"
        await channel.consume(self._topology.poison, self._tag, PREFETCH, self._arrivals.put_nowait)

    def _cancelled(self, tag: str) -> None:
        # Its queue was deleted: a new session declares all that is missing.
        if tag == self._tag:
            self._session.fail("the queue of poisonous messages was deleted")

    async def _settle(self, arrival: Arrival) -> None:
        queue, exchange = _first_death(arrival.headers)
        delivery = delivery_of(arrival, queue or arrival.key, ours=exchange in self._topology.ours)
        try:
            envelope = set_apart(delivery, self._clock.now())
        except InvalidTaskError as error:
            marks = invalid_marks(delivery.queue, error.reason, str(error), error.field)
            out = quarantined(delivery, marks, self._topology, self._clock.now())
            await self._session.publish(out)
        else:
            await self._park(envelope)
        arrival.channel.ack(arrival.tag)

    async def _park(self, envelope: Envelope) -> None:
        self._session.around.observer.notice(warning(envelope))
        slot = self._policy.place_next(envelope.due_at, self._clock.now())
        await self._wheel.prepare(slot.level)
        key = slot_key(slot.level, slot.position)
        await self._session.publish(task_message(envelope, self._topology.wait, key))
        await self._wheel.landed(slot)


def _first_death(headers: Mapping[str, object]) -> tuple[str, str]:
    """Return the queue in which a message died last, and the exchange it had come by."""
    deaths = headers.get("x-death")
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    if not isinstance(last, dict):
        return "", ""
    return str(last.get("queue", "")), str(last.get("exchange", ""))
