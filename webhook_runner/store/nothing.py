"""The store that is none: it notes nothing, costs nothing, and says so to who asks."""

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn

from webhook_runner.errors import NoStoreError
from webhook_runner.ports import StoreState
from webhook_runner.task.record import (
    Attempt,
    Change,
    Claim,
    Entry,
    Holder,
    QueueCount,
    TaskPage,
    TaskQuery,
    TaskRecord,
)

_STATE = StoreState("none", waits=False)


class NoStore:
    """See `webhook_runner.ports.Store`."""

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    def record(self, entry: Entry) -> None:
        """Do nothing."""

    async def kept(self) -> None:
        return

    async def usable(self) -> None:
        return

    def state(self) -> StoreState:
        return _STATE

    async def advance(self, change: Change) -> bool:
        _refuse(change)

    async def find(self, task_id: str, run: int | None = None) -> TaskRecord | None:
        _refuse(task_id, run)

    async def latest(self, task_id: str, fingerprint: bytes) -> TaskRecord | None:
        _refuse(task_id, fingerprint)

    async def attempts(self, task_id: str, run: int) -> list[Attempt]:
        _refuse(task_id, run)

    async def tasks(self, query: TaskQuery) -> TaskPage:
        _refuse(query)

    async def counts(self) -> list[QueueCount]:
        _refuse()

    async def claim(self, claim: Claim) -> Holder:
        _refuse(claim)

    async def keep_claim(self, key: str, run: int) -> None:
        _refuse(key, run)

    async def drop_claim(self, key: str, run: int) -> None:
        _refuse(key, run)

    def export(self, before: float) -> AsyncIterator[dict[str, object]]:
        _refuse(before)

    async def forget(self, before: float) -> int:
        _refuse(before)

    async def close(self) -> None:
        return


def _refuse(*_: object) -> NoReturn:
    raise NoStoreError(
        "nothing is kept of tasks here: set `[store] url` to sqlite:PATH or postgresql://..."
    )
