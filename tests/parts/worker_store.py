"""A store as a worker has it: asked of the parent, over a socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.observer import RecordingObserver
from webhook_runner.ports import Store
from webhook_runner.process.workers.line import Line
from webhook_runner.process.workers.remote_store import RemoteStore
from webhook_runner.process.workers.store_desk import StoreDesk, stands
from webhook_runner.process.workers.wire import (
    FROM_WORKER,
    TO_WORKER,
    Answer,
    Ask,
    FromWorker,
    Kept,
    Noted,
    StoreStands,
    ToWorker,
    Unanswered,
)


@asynccontextmanager
async def asked_by_a_worker(store: Store) -> AsyncIterator[RemoteStore]:
    """Give a store that asks ``store`` by a socket pair; both ends are here."""
    ours, theirs = socket.socketpair()

    def from_parent(message: ToWorker) -> None:
        if isinstance(message, StoreStands | Kept | Answer | Unanswered):
            remote.take(message)

    def from_worker(message: FromWorker) -> None:
        if isinstance(message, Noted):
            desk.note(message)
        elif isinstance(message, Ask):
            desk.ask(message)

    worker, parent = Line(TO_WORKER, from_parent), Line(FROM_WORKER, from_worker)
    await asyncio.gather(worker.open(theirs), parent.open(ours))
    desk, notes = StoreDesk(store, parent), RecordingObserver()
    remote = RemoteStore(worker, stands(store), notes, lambda: None)
    serving = asyncio.ensure_future(desk.run())
    try:
        yield remote
        await remote.close()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await asyncio.gather(worker.close(), parent.close())
        await worker.lost.wait()
