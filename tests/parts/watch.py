"""Waiting for a state that another thread brings about, blocking or awaited, without polling."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

Predicate = Callable[[], bool]


class Watch:
    """Ask waiters' predicates again at every `stir`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Predicate, Future[None]]] = []

    def stir(self) -> None:
        """Say that the state has changed."""
        if not self._waiting:
            return
        with self._lock:
            self._waiting = [each for each in self._waiting if not _settle(*each)]

    def until(self, predicate: Predicate, timeout: float, what: Callable[[], str]) -> None:
        """Block until the predicate holds. Raises TimeoutError with `what()` after seconds."""
        future = self._wait(predicate)
        try:
            future.result(timeout)
        except TimeoutError as late:
            raise TimeoutError(f"not within {timeout} s; {what()}") from late
        finally:
            future.cancel()

    async def until_async(
        self,
        predicate: Predicate,
        timeout: float,  # noqa: ASYNC109 - the same signature as `until`
        what: Callable[[], str],
    ) -> None:
        """Await until the predicate holds. Raises TimeoutError with `what()` after seconds."""
        future = self._wait(predicate)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wrap_future(future)
        except TimeoutError as late:
            raise TimeoutError(f"not within {timeout} s; {what()}") from late
        finally:
            future.cancel()

    def _wait(self, predicate: Predicate) -> Future[None]:
        future: Future[None] = Future()
        waiting = (predicate, future)
        with self._lock:
            # Before it is asked: a change that comes meanwhile must find somebody waiting.
            self._waiting.append(waiting)
            if _settle(*waiting):
                self._waiting.remove(waiting)
        return future


def _settle(predicate: Predicate, future: Future[None]) -> bool:
    if future.cancelled():
        return True
    error: Exception | None = None
    try:
        if not predicate():
            return False
    except Exception as raised:  # noqa: BLE001 - a broken predicate is the waiter's to see
        error = raised
    if not future.set_running_or_notify_cancel():
        return True
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
    return True
