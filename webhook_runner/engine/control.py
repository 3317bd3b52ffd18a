"""Everything by which a person steers the daemons that share a broker, put together."""

from typing import Protocol

from webhook_runner.engine.aside_control import AsideControl
from webhook_runner.engine.destination_control import DestinationControl
from webhook_runner.engine.fellows import ACQUAINTED_SECONDS, Fellows
from webhook_runner.engine.hearing import Hearing
from webhook_runner.engine.holdings import Holdings
from webhook_runner.engine.queue_control import QueueControl
from webhook_runner.engine.queues import Queues
from webhook_runner.engine.revival import Revival
from webhook_runner.engine.task_control import TaskControl
from webhook_runner.ports import Board, Broker, Clock, Observer, Shelf, Store


class Room(Broker, Board, Shelf, Protocol):
    """A broker by which daemons tell each other things, and that shows what was put aside."""


class Control:
    """``name`` tells this daemon from every other; ``is_shared``: there may be others."""

    def __init__(
        self,
        name: str,
        queues: Queues,
        broker: Room,
        store: Store,
        observer: Observer,
        clock: Clock,
        *,
        is_shared: bool,
    ) -> None:
        holdings = Holdings(queues.inflight, queues.revocations, queues.lanes)
        acquainted_after = ACQUAINTED_SECONDS if is_shared else 0.0
        fellows = Fellows(name, broker, holdings, clock, acquainted_after=acquainted_after)
        revival = Revival(queues.reception, queues.revocations, clock)
        self.fellows = fellows
        self.hearing = Hearing(holdings, queues, fellows, observer)
        self.tasks = TaskControl(store, fellows, queues.intake, revival, observer, clock)
        self.queues = QueueControl(queues, broker, broker, store, fellows, self.tasks, clock)
        self.destinations = DestinationControl(queues.destinations, fellows, clock)
        self.asides = AsideControl(queues, broker, queues.intake, revival, observer, clock)

    async def run(self) -> None:
        """Keep company with the others, until cancelled."""
        await self.fellows.run()

    async def leave(self) -> None:
        """Tell the others that nothing is in hand here any more."""
        await self.fellows.leave()
