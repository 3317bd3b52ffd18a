"""The broker of a parent: it publishes, hears and looks; what is handed over goes to workers."""

from collections.abc import Callable
from dataclasses import replace

from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.ports import BrokerState, Clock, Consumer, Observer
from webhook_runner.settings import Settings


class ParentBroker(RabbitBroker):
    """``consuming`` and ``waiting`` tell what workers consume, and how many tasks wait."""

    def __init__(self, settings: Settings, clock: Clock, observer: Observer) -> None:
        super().__init__(
            settings.broker,
            settings.servers,
            tuple(settings.queues),
            clock,
            observer,
            deals=False,
        )
        self.consuming: Callable[[], frozenset[str]] = frozenset
        self.waiting: Callable[[], int] = int

    def state(self) -> BrokerState:
        state = super().state()
        return replace(state, consuming=self.consuming()) if state.connected else state

    def scheduled(self) -> int:
        return self.waiting()

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        """Do nothing: workers do."""

    async def stop_consuming(self, queue: str) -> None:
        """Do nothing: workers do."""
