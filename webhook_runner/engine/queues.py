"""All queues of this daemon together: start, reload, pause, drain."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from webhook_runner.engine.consumer import Hold, QueueConsumer
from webhook_runner.engine.destinations import Destinations
from webhook_runner.engine.executor import Executor
from webhook_runner.engine.inflight import InFlight
from webhook_runner.engine.intake import Intake
from webhook_runner.engine.lane import Lane, Lanes
from webhook_runner.engine.reception import Reception
from webhook_runner.engine.revocations import Revocations
from webhook_runner.engine.steering import Steering
from webhook_runner.ports import Broker, Clock, Dice, Dispatcher, Observer, Store
from webhook_runner.settings import QueueSettings, Settings
from webhook_runner.task.event import QueueChanged
from webhook_runner.task.notice import Notice


class Queues:
    """Owns a lane and a consumer for every configured queue, and the intake beside them.

    ``configure`` is told how many requests a queue may have under way; ``divide`` returns the
    settings of a queue with no more than this process has of its limits, which may be nothing.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        store: Store,
        dispatcher: Dispatcher,
        observer: Observer,
        clock: Clock,
        dice: Dice,
        make_id: Callable[[], str],
        configure: Callable[[str, int], None] | None = None,
        divide: Callable[[str, QueueSettings], QueueSettings] | None = None,
    ) -> None:
        self._broker, self._store, self._clock = broker, store, clock
        self._lanes: dict[str, Lane] = {}
        self._consumers: dict[str, QueueConsumer] = {}
        self._retired: list[QueueConsumer] = []
        self._observer = observer
        self._configure, self._divide = configure, divide
        self.reception = Reception(
            settings, self._lanes, clock, observer, make_id, has_store=store.state().kind != "none"
        )
        self.intake = Intake(self.reception, self._lanes, broker, store, observer, clock)
        self.destinations = Destinations(settings.breaker, clock, observer)
        self.steering = Steering()
        self._executor = Executor(
            self._lanes,
            self.reception,
            broker,
            store,
            dispatcher,
            observer,
            clock,
            dice,
            self.destinations,
            settings.max_total,
        )
        self._held: set[Hold] = set()
        for name, queue in settings.queues.items():
            self._add(name, queue, settings.base_url)

    @property
    def consumers(self) -> Mapping[str, QueueConsumer]:
        return self._consumers

    @property
    def lanes(self) -> Lanes:
        return self._lanes

    @property
    def inflight(self) -> InFlight:
        return self._executor.inflight

    @property
    def revocations(self) -> Revocations:
        return self._executor.revocations

    @property
    def in_flight(self) -> int:
        return len(self._executor.inflight) + self._elsewhere

    @property
    def requests(self) -> int:
        """How many requests are under way."""
        return self._executor.requests + self._elsewhere

    @property
    def _elsewhere(self) -> int:
        return sum(lane.elsewhere for lane in self._lanes.values())

    async def start(self) -> None:
        for consumer in self._consumers.values():
            await consumer.start()

    async def reconfigure(self, settings: Settings) -> None:
        """Follow new settings without dropping work: change, add, and retire queues."""
        await self._broker.serve(tuple(settings.queues))
        self.reception.reconfigure(settings)
        self._executor.crowd.resize(settings.max_total)
        self.destinations.reconfigure(settings.breaker)
        for name, queue in settings.queues.items():
            if name in self._consumers:
                effective = self._effective(name, queue)
                await self._consumers[name].reconfigure(effective, settings.base_url)
            else:
                await self._add(name, queue, settings.base_url).start()
            await _heed_portion(self._consumers[name])
        for name in set(self._consumers) - set(settings.queues):
            # Its lane stays: what was taken from it is still under way.
            consumer = self._consumers.pop(name)
            self._retired = [*(each for each in self._retired if each.is_busy), consumer]
            await consumer.stop()

    async def pause(self) -> None:
        await self._hold(Hold.PAUSED)

    async def resume(self) -> None:
        await self._let_go(Hold.PAUSED)

    async def heed_store(self) -> None:
        """Take no deliveries while the store is in trouble that is waited for."""
        state = self._store.state()
        if state.trouble and state.waits:
            await self._hold(Hold.STORE)
        else:
            await self._let_go(Hold.STORE)

    def recall(self, notice: Notice) -> None:
        """Take word of how a queue is steered; ``heed_steering`` does what has to wait.

        Raises:
            msgspec.MsgspecError: the notice cannot be read.

        """
        name = self.steering.recall(notice)
        if not name:
            return
        steered = self.steering.of(name)
        consumer, settings = self._consumers.get(name), self.reception.settings
        if consumer is not None and name in settings.queues:
            effective = self._effective(name, settings.queues[name])
            consumer.lane.reconfigure(effective, settings.base_url)
            if steered.paused:
                consumer.hold_back(Hold.STEERED)
        self.steering.turned.set()
        self._observer.notice(QueueChanged(name, steered.paused, tuple(sorted(steered.limits))))

    async def heed_portions(self) -> None:
        """Have of each queue what ``divide`` says now."""
        settings = self.reception.settings
        for name, consumer in tuple(self._consumers.items()):
            if name in settings.queues:
                effective = self._effective(name, settings.queues[name])
                consumer.lane.reconfigure(effective, settings.base_url)
        await self.heed_steering()

    async def heed_steering(self) -> None:
        """Consume every queue as it is steered by now."""
        for name, consumer in tuple(self._consumers.items()):
            await _heed_portion(consumer)
            if self.steering.of(name).paused:
                await consumer.pause(Hold.STEERED)
            elif consumer.is_held(Hold.STEERED):
                await consumer.resume(Hold.STEERED)
            else:
                await consumer.start()

    async def _hold(self, why: Hold) -> None:
        self._held.add(why)
        for consumer in tuple(self._consumers.values()):
            await consumer.pause(why)

    async def _let_go(self, why: Hold) -> None:
        self._held.discard(why)
        for consumer in tuple(self._consumers.values()):
            await consumer.resume(why)

    async def drain(self, deadline: asyncio.Event) -> int:
        """Take nothing new and let what runs finish, until ``deadline`` is set; then cut it off.

        Returns how many attempts were cut off. They go back to the broker, uncharged.
        """
        consumers = [*self._consumers.values(), *self._retired]
        winding = [asyncio.ensure_future(_wind_down(consumer)) for consumer in consumers]
        finished = asyncio.gather(*winding, return_exceptions=True)
        late = asyncio.ensure_future(deadline.wait())
        await asyncio.wait((finished, late), return_when=asyncio.FIRST_COMPLETED)
        late.cancel()
        finished.cancel()
        with suppress(asyncio.CancelledError):
            await finished
        await asyncio.gather(*winding, return_exceptions=True)
        return sum(await asyncio.gather(*(consumer.interrupt() for consumer in consumers)))

    def _add(self, name: str, queue: QueueSettings, base_url: str) -> QueueConsumer:
        effective = self._effective(name, queue)
        lane = self._lanes[name] = Lane(name, effective, base_url, self._clock)
        consumer = QueueConsumer(lane, self._executor, self._broker, self._clock)
        self._consumers[name] = consumer
        for why in self._held:
            consumer.hold_back(why)
        if self.steering.of(name).paused:
            consumer.hold_back(Hold.STEERED)
        if not effective.concurrency:
            consumer.hold_back(Hold.ELSEWHERE)
        return consumer

    def _effective(self, name: str, queue: QueueSettings) -> QueueSettings:
        """Return the settings of a queue as they are steered; tell the edges of them."""
        effective = self.steering.effective(name, queue)
        if self._divide is not None:
            effective = self._divide(name, effective)
        if self._configure is not None:
            self._configure(name, effective.concurrency)
        return effective


async def _heed_portion(consumer: QueueConsumer) -> None:
    if not consumer.lane.settings.concurrency:
        await consumer.pause(Hold.ELSEWHERE)
    elif consumer.is_held(Hold.ELSEWHERE):
        await consumer.resume(Hold.ELSEWHERE)


async def _wind_down(consumer: QueueConsumer) -> None:
    # Within the deadline too: a broker that keeps silent does not answer a stop.
    await consumer.stop()
    await consumer.drained()
