"""The consumers of one session on its work queues, kept alive whatever happens to the queues."""

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.deletion import when_deleted
from webhook_runner.broker.amqp.message import delivery_of
from webhook_runner.broker.amqp.session import Session
from webhook_runner.errors import TopologyError
from webhook_runner.ports import Consumer
from webhook_runner.task.event import ConsumingChanged

CHECK_SECONDS = 5.0
RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Wanted:
    consumer: Consumer
    prefetch: int


@dataclass(slots=True, eq=False)
class Lane:
    """One work queue; ``serving`` is what the present consumer was started with."""

    queue: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    channel: Channel | None = None
    tag: str = ""
    serving: Wanted | None = None
    told: tuple[bool, str] = (False, "")


class WorkQueues:
    def __init__(self, session: Session, wanted: MutableMapping[str, Wanted]) -> None:
        self._session = session
        self._wanted = wanted
        self._ours = session.around.topology.ours
        self._lanes: dict[str, Lane] = {}
        self._wake = asyncio.Event()
        self._closed = False

    @property
    def consuming(self) -> frozenset[str]:
        return frozenset(lane.queue for lane in self._lanes.values() if lane.tag)

    async def run(self) -> None:
        """Consume what is wanted, and again when the broker has cancelled a consumer."""
        while True:
            failed = await self._apply_all()
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS if failed else CHECK_SECONDS):
                    await self._wake.wait()

    async def apply(self, queue: str) -> None:
        """Make the consumer of ``queue`` what is wanted: started, restarted or stopped.

        Raises:
            LostError: the session is over.
            TopologyError: the queue is missing or the broker forbids consuming it.

        """
        lane = self._lanes.setdefault(queue, Lane(queue))
        async with lane.lock:
            wanted = None if self._closed else self._wanted.get(queue)
            if lane.tag and (wanted is None or _differs(lane.serving, wanted)):
                await self._stop(lane)
            if wanted is None or lane.tag:
                return
            await self._start(lane, wanted)

    async def close(self) -> None:
        """Stop all consumers and let the acks sent so far reach the broker."""
        self._closed = True
        for lane in list(self._lanes.values()):
            await self.apply(lane.queue)
            if lane.channel is not None:
                await lane.channel.flush()

    def lose(self, why: str) -> None:
        """Tell that nothing is consumed any more."""
        for lane in self._lanes.values():
            if lane.tag:
                lane.tag = ""
                self._tell(lane, why)

    async def _apply_all(self) -> bool:
        failed = False
        for queue in {*self._wanted, *self._lanes}:
            try:
                await self.apply(queue)
            except TopologyError as error:
                failed = True
                self._tell(self._lanes[queue], str(error))
        return failed

    async def _start(self, lane: Lane, wanted: Wanted) -> None:
        if lane.serving is not None:
            await self._session.declarer.work_queue(lane.queue)
        if lane.channel is None:
            lane.channel = await self._session.channel(f"queue {lane.queue}")
            lane.channel.on_cancel(lambda tag: self._cancelled(lane, tag))
        # Never a tag twice: the broker may still hold the one it has cancelled.
        tag = f"{lane.queue}-{uuid4().hex}"
        lane.serving, lane.tag = wanted, tag
        try:
            await lane.channel.consume(
                lane.queue, tag, wanted.prefetch, lambda arrival: self._receive(lane, arrival)
            )
        except BaseException:
            lane.tag = ""
            raise
        self._tell(lane)

    async def _stop(self, lane: Lane) -> None:
        tag, lane.tag = lane.tag, ""
        if lane.channel is not None:
            await lane.channel.cancel(tag)
        if self._closed or lane.queue not in self._wanted:
            self._tell(lane, "stopped")

    def _receive(self, lane: Lane, arrival: Arrival) -> None:
        serving = lane.serving
        if serving is not None:
            ours = arrival.exchange in self._ours
            serving.consumer.receive(delivery_of(arrival, lane.queue, ours=ours))

    def _cancelled(self, lane: Lane, tag: str) -> None:
        if tag == lane.tag:
            lane.tag = ""
            self._tell(lane, "the broker cancelled the consumer")
            when_deleted(self._wake.set)

    def _tell(self, lane: Lane, why: str = "") -> None:
        told = (bool(lane.tag), why)
        if told != lane.told:
            lane.told = told
            notice = self._session.around.observer.notice
            notice(ConsumingChanged(lane.queue, consuming=told[0], why=why))


def _differs(serving: Wanted | None, wanted: Wanted) -> bool:
    return (
        serving is None
        or serving.prefetch != wanted.prefetch
        or serving.consumer is not wanted.consumer
    )
