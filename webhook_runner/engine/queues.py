"""All queues of this daemon together: start, reload, pause, drain."""

import asyncio
from collections.abc import Callable, Mapping

from webhook_runner.engine.consumer import Hold, QueueConsumer
from webhook_runner.engine.executor import Executor
from webhook_runner.engine.intake import Intake
from webhook_runner.engine.lane import Lane
from webhook_runner.engine.reception import Reception
from webhook_runner.ports import Broker, Clock, Dice, Dispatcher, Observer, Store
from webhook_runner.settings import QueueSettings, Settings


class Queues:
    """Owns a lane and a consumer for every configured queue, and the intake beside them."""

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
    ) -> None:
        self._broker = broker
        self._store = store
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._consumers: dict[str, QueueConsumer] = {}
        self._retired: list[QueueConsumer] = []
        self._reception = Reception(settings, self._lanes, clock, observer, make_id)
        self.intake = Intake(self._reception, broker, observer, clock)
        self._executor = Executor(
            self._lanes,
            self._reception,
            broker,
            store,
            dispatcher,
            observer,
            clock,
            dice,
            settings.max_total,
        )
        self._held: set[Hold] = set()
        for name, queue in settings.queues.items():
            self._add(name, queue, settings.base_url)

    @property
    def consumers(self) -> Mapping[str, QueueConsumer]:
        return self._consumers

    @property
    def in_flight(self) -> int:
        return len(self._executor.inflight)

    async def start(self) -> None:
        for consumer in self._consumers.values():
            await consumer.start()

    async def reconfigure(self, settings: Settings) -> None:
        """Follow new settings without dropping work: change, add, and retire queues."""
        await self._broker.serve(tuple(settings.queues))
        self._reception.reconfigure(settings)
        self._executor.crowd.resize(settings.max_total)
        for name, queue in settings.queues.items():
            if name in self._consumers:
                await self._consumers[name].reconfigure(queue, settings.base_url)
            else:
                await self._add(name, queue, settings.base_url).start()
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
        finished = asyncio.gather(*(_wind_down(consumer) for consumer in consumers))
        late = asyncio.ensure_future(deadline.wait())
        await asyncio.wait((finished, late), return_when=asyncio.FIRST_COMPLETED)
        late.cancel()
        finished.cancel()
        return sum(await asyncio.gather(*(consumer.interrupt() for consumer in consumers)))

    def _add(self, name: str, queue: QueueSettings, base_url: str) -> QueueConsumer:
        lane = self._lanes[name] = Lane(name, queue, base_url, self._clock)
        consumer = QueueConsumer(lane, self._executor, self._broker, self._clock)
        self._consumers[name] = consumer
        for why in self._held:
            consumer.hold_back(why)
        return consumer


async def _wind_down(consumer: QueueConsumer) -> None:
    # Within the deadline too: a broker that keeps silent does not answer a stop.
    await consumer.stop()
    await consumer.drained()
