"""The broker ports over RabbitMQ: what the engine asks for, said to the session of the moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from webhook_runner.broker.amqp.board import RabbitBoard
from webhook_runner.broker.amqp.channel import Outgoing
from webhook_runner.broker.amqp.consuming import Wanted, WorkQueues
from webhook_runner.broker.amqp.faults import LostError
from webhook_runner.broker.amqp.keeper import SessionKeeper
from webhook_runner.broker.amqp.message import dead_letter, handle_of, quarantined, task_message
from webhook_runner.broker.amqp.poison import Poison
from webhook_runner.broker.amqp.session import Session, Surroundings
from webhook_runner.broker.amqp.shelf import RabbitShelf
from webhook_runner.broker.amqp.stacks import Stack, connect_by
from webhook_runner.broker.amqp.topology import Topology, slot_key
from webhook_runner.broker.amqp.wheel import WheelDriver
from webhook_runner.broker.letter import invalid_marks
from webhook_runner.errors import TopologyError
from webhook_runner.policy.delay import WHEEL, Slot, Wheel
from webhook_runner.ports import BrokerState, Clock, Consumer, Delivery, Listener, Observer
from webhook_runner.settings import BrokerSettings
from webhook_runner.task.event import Warned
from webhook_runner.task.model import Envelope
from webhook_runner.task.notice import Aside, Depths, Notice, PutAside
from webhook_runner.task.progress import due_milliseconds


@dataclass(frozen=True, slots=True)
class Parts:
    """What works on one session."""

    session: Session
    queues: WorkQueues
    wheel: WheelDriver
    poison: Poison


class RabbitBroker:
    """Broker, Board and Shelf of `webhook_runner.ports`.

    ``servers`` are AMQP urls, tried in random order, by the client that is the ``stack``. One that
    does not ``deal`` hands nothing over and turns no wheel: it publishes, hears, and shows what
    lies in queues.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        servers: tuple[str, ...],
        queues: tuple[str, ...],
        clock: Clock,
        observer: Observer,
        wheel: Wheel = WHEEL,
        *,
        stack: Stack = "lean",
        deals: bool = True,
    ) -> None:
        topology = Topology(settings.prefix, queues, len(wheel.levels), wheel.ring)
        self._around = Surroundings(settings, topology, clock, observer, connect_by(stack))
        self._keeper = SessionKeeper(self._around, servers)
        self._board = RabbitBoard(self._around, self._keeper)
        self._shelf = RabbitShelf(self._around, self._keeper)
        self._policy = wheel
        self._wanted: dict[str, Wanted] = {}
        self._parts: Parts | None = None
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._drained = False
        self._deals = deals

    @property
    def _topology(self) -> Topology:
        return self._around.topology

    async def run(self) -> None:
        """Work until cancelled or drained. Raises TopologyError."""
        await self._keeper.run(self._board.begin, self._serve, lambda: self._drained)

    def state(self) -> BrokerState:
        parts = self._parts
        if parts is None:
            return BrokerState()
        return BrokerState(True, parts.session.blocked, parts.queues.consuming)

    async def serve(self, queues: tuple[str, ...]) -> None:
        fresh = [name for name in queues if name not in self._topology.queues]
        self._around.topology = replace(self._topology, queues=queues)
        session = self._keeper.session
        if session is None:
            return
        try:
            for name in fresh:
                await session.declarer.work_queue(name)
                await session.declarer.queues(self._topology.aside(name))
        except LostError as error:
            session.fail(str(error))
        except TopologyError as error:
            self._around.observer.notice(Warned(f"queues {', '.join(fresh)}", str(error)))

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        self._wanted[queue] = Wanted(consumer, prefetch)
        await self._apply(queue)

    async def stop_consuming(self, queue: str) -> None:
        self._wanted.pop(queue, None)
        await self._apply(queue)

    async def enqueue(self, envelope: Envelope) -> None:
        place = self._topology.work, envelope.task.queue
        await self._keeper.publish(lambda again: task_message(envelope, *place, again=again))

    async def park(self, envelope: Envelope) -> None:
        slot = await self._prepared(envelope)

        def make(again: bool) -> Outgoing:  # noqa: FBT001 - as the keeper calls it
            # A slot that does not confirm, as after the loss of its disk, is not asked for ever.
            nonlocal slot
            slot = self._slot(envelope)
            key = slot_key(slot.level, slot.position)
            return task_message(envelope, self._topology.wait, key, again=again)

        await self._keeper.publish(make)
        if self._parts is not None and self._board.is_recalled:
            await self._parts.wheel.landed(slot)

    def _slot(self, envelope: Envelope) -> Slot:
        due_at = due_milliseconds(envelope.due_at) / 1000
        return self._policy.place_next(due_at, self._around.clock.now())

    async def bury(self, envelope: Envelope, summary: bytes) -> None:
        died_at = self._around.clock.now()
        out = dead_letter(envelope, summary, self._topology, died_at)
        await self._keeper.publish(lambda _: out)

    async def quarantine(
        self, delivery: Delivery, reason: str, explanation: str, field: str = ""
    ) -> None:
        # They keep their message id, and the library tells returned publishes apart by it.
        async with self._turn_of(delivery.message.message_id):
            marks = invalid_marks(delivery.queue, reason, explanation, field)
            out = quarantined(delivery, marks, self._topology, self._around.clock.now())
            await self._keeper.publish(lambda _: out)

    def _turn_of(self, message_id: str) -> AbstractAsyncContextManager[None]:
        """Let messages of one id go one after the other; all others go at once."""
        if not message_id:
            return nullcontext()
        return self._turns.setdefault(message_id, asyncio.Lock())

    async def ack(self, delivery: Delivery) -> bool:
        handle = handle_of(delivery)
        if handle.settled is not None:
            handle.settled()
        try:
            handle.arrival.channel.ack(handle.arrival.tag)
        except LostError:
            return False
        return True

    async def release(self, delivery: Delivery) -> None:
        handle = handle_of(delivery)
        if handle.settled is not None:
            handle.settled()
        with suppress(LostError):
            handle.arrival.channel.release(handle.arrival.tag)

    def is_lost(self, delivery: Delivery) -> bool:
        return handle_of(delivery).arrival.channel.is_closed

    async def writable(self) -> None:
        await self._keeper.writable()

    def scheduled(self) -> int:
        """Return how many messages wait in the wheel, as of the last sweep."""
        return 0 if self._parts is None else self._parts.wheel.scheduled()

    def held_bytes(self) -> int:
        """Return how many bytes of task bodies wait in this process for their time."""
        return 0 if self._parts is None else self._parts.wheel.held_bytes()

    async def drain(self) -> None:
        self._drained = True
        self._wanted.clear()
        parts = self._parts
        if parts is None:
            return
        with suppress(LostError):
            await parts.wheel.close()
            await parts.poison.close()
            await parts.queues.close()
        await parts.session.close()

    def attend(self, listener: Listener) -> None:
        self._board.attend(listener)

    async def post(self, notices: Sequence[Notice]) -> None:
        await self._board.post(notices)

    async def call(self, word: bytes) -> None:
        await self._board.call(word)

    async def recalled(self) -> None:
        await self._board.recalled()

    def walk(
        self, aside: Aside, queue: str
    ) -> AbstractAsyncContextManager[AsyncIterator[PutAside]]:
        return self._shelf.walk(aside, queue)

    async def remove(self, item: PutAside) -> None:
        await self._shelf.remove(item)

    async def clear(self, aside: Aside, queue: str) -> int:
        return await self._shelf.clear(aside, queue)

    async def depths(self, queue: str) -> Depths:
        return await self._shelf.depths(queue)

    async def purge(self, queue: str) -> int:
        return await self._shelf.purge(queue)

    async def _prepared(self, envelope: Envelope) -> Slot:
        """Return its slot, of a level that is there: to declare one takes seconds."""
        while True:
            slot = self._slot(envelope)
            await self._prepare(slot.level)
            if self._slot(envelope).level == slot.level:
                return slot

    async def _prepare(self, level: int) -> None:
        """Have the queues of a level declared before the first publish to them."""
        while True:
            session = await self._keeper.connected()
            if self._parts is None:
                return None
            try:
                return await self._parts.wheel.prepare(level)
            except LostError as error:
                session.fail(str(error))

    async def _apply(self, queue: str) -> None:
        parts = self._parts
        if parts is None or not self._board.is_recalled or not self._deals:
            return
        try:
            await parts.queues.apply(queue)
        except LostError as error:
            parts.session.fail(str(error))
        except TopologyError as error:
            self._around.observer.notice(Warned(f"queue {queue}", str(error)))

    async def _serve(self, session: Session) -> None:
        queues = WorkQueues(session, self._wanted)
        wheel = WheelDriver(session, self._policy, self._consumer)
        poison = Poison(session, wheel, self._policy)
        self._parts = Parts(session, queues, wheel, poison)
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "confirms": session.watch_confirms,
            "board": lambda: self._board.run(session),
        }
        if self._deals:
            works["queues"] = lambda: self._informed(queues.run)
            works["wheel"] = lambda: self._informed(wheel.run)
            works["poison"] = lambda: self._informed(poison.run)
        running = [
            asyncio.ensure_future(_guarded(session, name, part)) for name, part in works.items()
        ]
        try:
            reason = await asyncio.shield(session.lost)
            queues.lose(reason)
        finally:
            self._parts = None
            for part in running:
                part.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _informed(self, part: Callable[[], Awaitable[None]]) -> None:
        """Begin to hand over once it is known what was said before."""
        await self._board.recalled()
        await part()

    def _consumer(self, queue: str) -> Consumer | None:
        wanted = self._wanted.get(queue)
        return None if wanted is None else wanted.consumer


async def _guarded(session: Session, name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Whatever ends a part ends its session: nothing runs on with a part missing."""
    try:
        await part()
    except (LostError, TopologyError) as error:
        session.fail(str(error))
    except Exception as error:  # noqa: BLE001 - told as the reason of the loss, then begun anew
        session.fail(f"the {name} part failed: {error!r}")
