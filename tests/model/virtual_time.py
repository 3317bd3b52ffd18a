"""An event loop whose time is virtual: it passes at once, and only when nothing else is to be done.

The same steps lead to the same turns, so that what was found can be found again.
"""

import asyncio
import selectors
import warnings
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from itertools import count
from typing import Any, TypeVar

from tests.fakes.clock import FakeClock

T = TypeVar("T")
MOST_TURNS = 20_000
LEAST = 1e-6
_FINEST = 1e-9


class NeverQuietError(AssertionError):
    """Something goes on and on without any time passing."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """``passed`` is seconds since the start."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.troubles: list[dict[str, Any]] = []
        self._numbers = count(1)
        super().__init__(_NoSockets(self._leap))
        self._clock_resolution = _FINEST
        self.set_task_factory(self._numbered)
        self.set_exception_handler(lambda _, context: self.troubles.append(context))

    def time(self) -> float:
        return self.passed

    def create_future(self) -> "asyncio.Future[Any]":
        return _NumberedFuture(next(self._numbers), loop=self)

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, with all that happens in it, and become quiet."""
        self.run_until_complete(asyncio.sleep(seconds))
        self.become_quiet()

    def turn(self, times: int) -> None:
        """Let everything that can go on do so, so many times; no time passes."""
        self.run_until_complete(_turns(times))

    def become_quiet(self) -> None:
        """Let everything go on until it waits for time to pass."""
        self.run_until_complete(self._until_quiet())

    def do(self, work: Callable[[], T]) -> T:
        """Call a function within the loop."""

        async def within() -> T:
            return work()

        return self.run_until_complete(within())

    def kill_all(self) -> None:
        """End every task now, whatever it waits for, and forget every timer."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what dies has awaited nothing any more
            for _ in range(100):
                for timer in self._scheduled:  # type: ignore[attr-defined]
                    timer.cancel()
                tasks = asyncio.all_tasks(self)
                if not (tasks or self._ready):  # type: ignore[attr-defined]
                    return
                for task in tasks:
                    task.cancel()
                self.turn(3)
        raise AssertionError(f"tasks that do not end: {asyncio.all_tasks(self)}")

    async def _until_quiet(self) -> None:
        for _ in range(MOST_TURNS):
            if not self._ready:  # type: ignore[attr-defined]
                return
            await asyncio.sleep(0)
        raise NeverQuietError(f"no quiet within {MOST_TURNS} turns")

    def _leap(self) -> None:
        """Go to the next moment at which something happens."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        self.passed = max(self.passed, scheduled[0].when())

    def _numbered(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T] | Generator[Any, None, T],
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        return _NumberedTask(next(self._numbers), work, loop=loop, context=context)


class _NoSockets(selectors.SelectSelector):
    """Waits for nothing; tells when there is nothing to do but to let time pass."""

    def __init__(self, leap: Callable[[], None]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits for something that never comes")
        if timeout > 0:
            self._leap()
        return []


class _NumberedTask(asyncio.Task[Any]):
    """Sets of tasks are gone through in the order of their hashes: by default, of addresses."""

    def __init__(self, number: int, work: Any, **about: Any) -> None:
        self.number = number
        super().__init__(work, **about)

    def __hash__(self) -> int:
        return self.number


class _NumberedFuture(asyncio.Future[Any]):
    def __init__(self, number: int, **about: Any) -> None:
        self.number = number
        super().__init__(**about)

    def __hash__(self) -> int:
        return self.number


async def _turns(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


class LoopClock(FakeClock):
    """The clock of a daemon in a virtual loop; ``pass_time`` of the loop moves it."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def now(self) -> float:
        return self._start + self._loop.passed

    def monotonic(self) -> float:
        return self._loop.passed

    async def sleep(self, seconds: float) -> None:
        # So little time would not pass at all, and whoever waits for it would wait again.
        await asyncio.sleep(max(seconds, LEAST) if seconds > 0 else 0)
