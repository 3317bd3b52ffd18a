"""The broker of a parent: it publishes, hears and looks; what is handed over goes to workers."""

from collections.abc import Callable
from dataclasses import replace

from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.ports import BrokerState, Consumer


class ParentBroker(RabbitBroker):
    """Made without ``deals``.

    ``consuming`` and ``waiting`` tell what workers consume, and how many tasks wait.
    """

    consuming: Callable[[], frozenset[str]] = frozenset
    waiting: Callable[[], int] = int

    def state(self) -> BrokerState:
        state = super().state()
        return replace(state, consuming=self.consuming()) if state.connected else state

    def scheduled(self) -> int:
        return self.waiting()

    async def consume(self, queue: str, consumer: Consumer, prefetch: int) -> None:
        """Do nothing: workers do."""

    async def stop_consuming(self, queue: str) -> None:
        """Do nothing: workers do."""
