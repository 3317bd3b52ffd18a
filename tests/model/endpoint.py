"""Where the requests go: answers by a script or by hand, and sees that no limit is exceeded."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field

from tests.model.book import Book
from tests.model.virtual_time import LoopClock, VirtualLoop
from webhook_runner.engine.passage import FRESH
from webhook_runner.policy.rate import default_bucket
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Outcome, Responded, TimedOut
from webhook_runner.task.request import Request

ROUNDING = 1e-6


@dataclass(frozen=True)
class Step:
    """One answer, after so many seconds; without one it takes until somebody answers."""

    outcome: Outcome | None
    after: float = 0.0


@dataclass(eq=False)
class Call:
    envelope: Envelope
    answer: "asyncio.Future[Outcome]"


@dataclass
class Limits:
    """What a queue allows: at most so many at once, and by ``rate`` and ``bucket`` over time."""

    concurrency: int
    rate: float
    bucket: float
    starts: list[float] = field(default_factory=list)
    before: int = 0
    since: float = 0.0
    asked: dict[int, QueueSettings] = field(default_factory=dict)
    asks: int = 0
    held: int = 0

    def allow(self, fresh: QueueSettings) -> int:
        """From now on these limits may hold, or still those of before; return the ask's number."""
        self.asks += 1
        self.asked[self.asks] = fresh
        self._widen(fresh)
        return self.asks

    def hold_to(self, ask: int, now: float, *, all_waits_at_gate: bool) -> None:
        """After ``now`` these limits hold, or what was asked for since; for who is past the gate,
        those of before.
        """
        fresh = self.asked.pop(ask)
        if ask < self.held:
            return
        self.held = ask
        if all_waits_at_gate:
            self.before, self.since = self.concurrency, now
            self.concurrency = fresh.concurrency
        self.rate, self.bucket = fresh.rate, fresh.bucket_size
        self.starts.clear()
        for each in self.asked.values():
            self._widen(each)

    def _widen(self, fresh: QueueSettings) -> None:
        self.concurrency = max(self.concurrency, fresh.concurrency)
        self.rate = max(self.rate, fresh.rate)
        self.bucket = max(self.bucket, fresh.bucket_size)

    def exceeded(self, running: int, now: float) -> str:
        """Note a start, the ``running`` th at once; return which limit it exceeds."""
        self.starts.append(now)
        most = max(self.concurrency, self.before) if now == self.since else self.concurrency
        if running > most:
            return f"{running} at once, of {most}"
        if self.rate == float("inf"):
            return ""
        size = self.bucket or default_bucket(self.rate)
        for count, start in enumerate(reversed(self.starts), 1):
            if count > size + self.rate * (now - start + FRESH) + ROUNDING:
                return f"{count} in {now - start} s, of {self.rate}/s"
        return ""


class Endpoint:
    """Implements ports.Dispatcher for one life of a daemon; what is sent later is nobody's."""

    def __init__(
        self,
        loop: VirtualLoop,
        book: Book,
        scripts: dict[tuple[str, int], deque[Step]],
        limits: dict[str, Limits],
        most: int,
    ) -> None:
        self._loop = loop
        self._clock = LoopClock(loop)
        self._book = book
        self._scripts = scripts
        self._limits = limits
        self._most = most
        self._running: defaultdict[str, int] = defaultdict(int)
        self.calls: list[Call] = []
        self.open = True
        self.prompt = False

    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        if not self.open:
            raise asyncio.CancelledError
        queue, now = envelope.task.queue, self._clock.now()
        call = Call(envelope, self._loop.create_future())
        self.calls.append(call)
        self._running[queue] += 1
        self._book.begun(request, envelope, now)
        self._judge(queue, now)
        try:
            outcome = await self._answer(call, request.timeout)
        except asyncio.CancelledError:
            if self.open:
                self._book.cut(envelope)
            raise
        finally:
            self.calls.remove(call)
            self._running[queue] -= 1
        self._book.answered(envelope, outcome, self._clock.now())
        return outcome

    async def close(self) -> None:
        return

    def _judge(self, queue: str, now: float) -> None:
        wrong = self._limits[queue].exceeded(self._running[queue], now)
        if not wrong and len(self.calls) > self._most:
            wrong = f"{len(self.calls)} at once in all, of {self._most}"
        if wrong:
            self._book.wrong.append(f"limit of {queue} exceeded at {now}: {wrong}")

    async def _answer(self, call: Call, patience: float) -> Outcome:
        kind, page = self._book.page_of(call.envelope)
        script = self._scripts[kind, page.number]
        step = script.popleft() if script else Step(Responded(200))
        if step.outcome is not None and step.after < patience:
            if step.after:
                await asyncio.sleep(step.after)
            return step.outcome
        if self.prompt:
            return Responded(200)
        done, _ = await asyncio.wait([call.answer], timeout=patience)
        return call.answer.result() if done else TimedOut(patience)
