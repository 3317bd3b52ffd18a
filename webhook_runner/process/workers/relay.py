"""What a worker tells beside its work: lines of the log, news for listeners, how it stands."""

import asyncio
import io
import sys
from collections.abc import Callable

from webhook_runner.api.events import EventHub, Gap, Wish
from webhook_runner.ports import Observer
from webhook_runner.process.workers.line import Line
from webhook_runner.process.workers.wire import Lines, Missed, News, Stands, Totals, ToWorker
from webhook_runner.task.event import Event, QueueChanged

GATHER_SECONDS = 0.005
MOST_PENDING = 1 << 18
LISTEN_SECONDS = 15.0
REPORT_SECONDS = 1.0
LONGEST_SILENCE = 5.0


class LogLines(io.StringIO):
    """A stream whose lines the parent writes; those that it does not take are lost."""

    def __init__(self, line: Line[ToWorker]) -> None:
        self._line = line
        self._pending: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def isatty(self) -> bool:
        return sys.stderr.isatty()

    def write(self, text: str) -> int:
        """Take lines. Raises OSError when there is no room for more: they are lost then."""
        if self._size + len(text) > MOST_PENDING:
            raise BlockingIOError
        self._pending.append(text)
        self._size += len(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._due)
        return len(text)

    def send(self) -> None:
        """Send what waits, as far as the parent reads."""
        if self._pending and not self._line.is_full:
            self._line.send(Lines("".join(self._pending)))
            self._pending, self._size = [], 0

    def _due(self) -> None:
        self._timer = None
        self.send()
        if self._pending:
            self._timer = asyncio.get_running_loop().call_later(REPORT_SECONDS, self._due)


class Ours:
    """An observer that tells another what this worker does: what all do, the parent tells."""

    def __init__(self, inner: Observer) -> None:
        self._inner = inner

    def notice(self, event: Event) -> None:
        if not isinstance(event, QueueChanged):
            self._inner.notice(event)


class Newsroom:
    """Sends news while somebody listens at the parent."""

    def __init__(self, hub: EventHub, line: Line[ToWorker]) -> None:
        self._hub = hub
        self._line = line
        self._telling: asyncio.Task[None] | None = None

    def listen(self, *, listening: bool) -> None:
        if listening and self._telling is None:
            self._telling = asyncio.ensure_future(self._tell())
        elif not listening and self._telling is not None:
            self._telling.cancel()
            self._telling = None

    async def _tell(self) -> None:
        with self._hub.listen(Wish()) as listening:
            while True:
                while self._line.is_full:  # noqa: ASYNC110 - meanwhile what is new has a bound
                    await asyncio.sleep(GATHER_SECONDS)
                news = await listening.next(LISTEN_SECONDS)
                if isinstance(news, Gap):
                    self._line.send(Missed())
                elif news is not None:
                    told = News(news.name, news.data, news.queue, news.state, news.task)
                    self._line.send(told)


class Reporter:
    """Tells how the worker stands when that changes, and what it has counted, each second.

    ``rung`` asks for a look at once.
    """

    def __init__(
        self,
        line: Line[ToWorker],
        rung: asyncio.Event,
        look: Callable[[], Stands],
        count: Callable[[], Totals],
    ) -> None:
        self._line = line
        self._rung = rung
        self._look = look
        self._count = count
        self._is_dirty = True
        self._told: Stands | None = None

    def notice(self, _event: Event) -> None:
        """Know that something was counted. Implements ports.Observer."""
        self._is_dirty = True

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        spoke = counted = -LONGEST_SILENCE
        while True:
            now = loop.time()
            self._rung.clear()
            stands, is_late = self._look(), now - spoke >= LONGEST_SILENCE
            if (stands != self._told or is_late) and not self._line.is_full:
                self._line.send(stands)
                self._told, spoke = stands, now
            if (is_late or self._is_dirty) and now - counted >= REPORT_SECONDS:
                self.tell_totals()
                counted = now
            await self._wait()

    def tell_totals(self) -> None:
        if not self._line.is_full:
            self._line.send(self._count())
            self._is_dirty = False

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await self._rung.wait()
        except TimeoutError:
            return
