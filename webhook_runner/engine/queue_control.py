"""What a person may see and do of a queue, for all daemons that share the broker."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from webhook_runner.engine.fellows import Fellows
from webhook_runner.engine.queues import Queues
from webhook_runner.engine.steering import Steered, notice_of
from webhook_runner.engine.task_control import CancelState, TaskControl
from webhook_runner.errors import NoStoreError, StoreUnavailableError, UnknownQueueError
from webhook_runner.ports import Broker, Clock, Shelf, Store
from webhook_runner.settings import QueueSettings
from webhook_runner.task.record import QueueCount, TaskQuery
from webhook_runner.task.state import TaskState

PAGE = 1000


@dataclass(frozen=True, slots=True)
class QueueView:
    """How a queue stands.

    Attributes:
        paused: by request, for all daemons.
        condition: ok, or why this daemon does not consume it now.
        ready, dead, invalid, scheduled: messages; None where nobody can tell.
        running: attempts of this daemon.
        oldest_at: when the oldest task that has not ended came, in epoch seconds.
        lag_seconds: how late the last attempt of this daemon began.
        settings: as they are in force.
        changed: the keys that were changed at run time.

    """

    name: str
    paused: bool
    condition: str
    ready: int
    running: int
    scheduled: int | None
    dead: int
    invalid: int
    oldest_at: float | None
    lag_seconds: float | None
    settings: QueueSettings
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Purged:
    """How many tasks were removed that were ready, and cancelled that were scheduled."""

    ready: int
    scheduled: int = 0


class QueueControl:
    """Queues by their name. All raise UnknownQueueError, and BrokerUnavailableError."""

    def __init__(
        self,
        queues: Queues,
        broker: Broker,
        shelf: Shelf,
        store: Store,
        fellows: Fellows,
        tasks: TaskControl,
        clock: Clock,
    ) -> None:
        self._queues = queues
        self._broker = broker
        self._shelf = shelf
        self._store = store
        self._fellows = fellows
        self._tasks = tasks
        self._clock = clock
        # A notice says all of a queue: of two made at once the later would undo the earlier.
        self._turn = asyncio.Lock()

    async def queues(self) -> list[QueueView]:
        """Return every configured queue, by name."""
        counts = await self._counts()
        return [await self._view(name, counts) for name in sorted(self._queues.consumers)]

    async def queue(self, name: str) -> QueueView:
        """Return one of them."""
        self._settings_of(name)
        return await self._view(name, await self._counts())

    async def pause(self, name: str) -> QueueView:
        """Have no daemon take anything of it, until ``resume``, also after restarts.

        What runs goes on, what waits is given back, and tasks are taken in as before.
        """
        return await self._pause(name, paused=True)

    async def resume(self, name: str) -> QueueView:
        """Take its tasks again."""
        return await self._pause(name, paused=False)

    async def change(self, name: str, limits: Mapping[str, Any]) -> QueueView:
        """Change limits for all daemons, until they are changed back, also after restarts.

        A limit of a rate or of concurrency holds for each daemon. None: as the file has it.

        Raises:
            InvalidTaskError: names the key, and what would be right.

        """
        file = self._settings_of(name)
        async with self._turn:
            await self._post(name, self._queues.steering.changed(name, file, limits))
        return await self.queue(name)

    async def purge(self, name: str, *, scheduled: bool = False) -> Purged:
        """Remove what is ready and in nobody's hands; with ``scheduled``, cancel what waits too.

        Raises:
            NoStoreError: nobody knows which tasks wait.
            StoreUnavailableError: nobody can tell now.

        """
        self._settings_of(name)
        if scheduled and self._store.state().kind == "none":
            raise NoStoreError("which tasks wait is kept in a store only: set [store] url")
        ready = await self._shelf.purge(name)
        return Purged(ready, await self._cancel_scheduled(name) if scheduled else 0)

    async def _cancel_scheduled(self, name: str) -> int:
        """Cancel page by page; what became cancelled is listed no more."""
        count, states = 0, frozenset({TaskState.SCHEDULED})
        cursor = ""
        while True:
            query = TaskQuery(states=states, queue=name, limit=PAGE, cursor=cursor)
            page = await self._store.tasks(query)
            answers = await self._tasks.cancel_many(record.id for record in page.tasks)
            count += sum(isinstance(answer, CancelState) for answer in answers.values())
            if not page.next:
                return count
            cursor = page.next

    async def _pause(self, name: str, *, paused: bool) -> QueueView:
        self._settings_of(name)
        async with self._turn:
            steered = self._queues.steering.of(name)
            await self._post(name, msgspec.structs.replace(steered, paused=paused))
        return await self.queue(name)

    async def _post(self, name: str, steered: Steered) -> None:
        notice = notice_of(name, steered, self._clock.now())
        await self._fellows.post([notice])
        self._queues.recall(notice)  # who asked sees it at once, wherever the notice is by now
        await self._queues.heed_steering()

    def _settings_of(self, name: str) -> QueueSettings:
        """Return the settings of a queue by the file. Raises UnknownQueueError."""
        settings = self._queues.reception.settings.queues.get(name)
        if settings is None or name not in self._queues.consumers:
            known = ", ".join(sorted(self._queues.consumers))
            raise UnknownQueueError(f"{name:.100} is not one of {known}")
        return settings

    async def _counts(self) -> list[QueueCount]:
        """Count by the store, as far as it can tell."""
        try:
            return await self._store.counts()
        except (NoStoreError, StoreUnavailableError):
            return []

    async def _view(self, name: str, counts: list[QueueCount]) -> QueueView:
        consumer = self._queues.consumers[name]
        steered = self._queues.steering.of(name)
        depths = await self._shelf.depths(name)
        mine = [each for each in counts if each.queue == name]
        waiting = [each.count for each in mine if each.state is TaskState.SCHEDULED]
        scheduled = sum(waiting) if counts else None
        return QueueView(
            name=name,
            paused=steered.paused,
            condition=consumer.condition(consumed=name in self._broker.state().consuming),
            ready=depths.ready,
            running=consumer.lane.running,
            scheduled=depths.scheduled if depths.scheduled is not None else scheduled,
            dead=depths.dead,
            invalid=depths.invalid,
            oldest_at=min((each.oldest for each in mine), default=None),
            lag_seconds=consumer.lane.lag,
            settings=consumer.lane.settings,
            changed=tuple(sorted(steered.limits)),
        )
