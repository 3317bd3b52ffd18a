"""A dispatcher that answers what it is told, or hangs until it is released."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Outcome, Responded
from webhook_runner.task.request import Request


@dataclass(slots=True, eq=False)
class Hang:
    """An answer that comes when ``answer`` is called."""

    outcome: asyncio.Future[Outcome] = field(default_factory=asyncio.Future)

    def answer(self, outcome: Outcome | None = None) -> None:
        self.outcome.set_result(outcome or Responded(200))


Step = Outcome | Exception | Hang


class ScriptedDispatcher:
    """Implements ports.Dispatcher. Answers the script in turn, then 200 for ever."""

    def __init__(self) -> None:
        self.sent: list[tuple[Request, Envelope]] = []
        self.running = 0
        self.most = 0
        self.cancelled = 0
        self._script: deque[Step] = deque()
        self._by_url: dict[str, deque[Step]] = {}

    def will(self, *steps: Step, url: str = "") -> None:
        """Answer ``steps`` to the next requests, or to the next ones for ``url``."""
        (self._by_url.setdefault(url, deque()) if url else self._script).extend(steps)

    @property
    def urls(self) -> list[str]:
        return [request.url for request, _ in self.sent]

    @property
    def bodies(self) -> list[bytes]:
        return [request.body for request, _ in self.sent]

    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        self.sent.append((request, envelope))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def close(self) -> None:
        return

    async def _answer(self, request: Request) -> Outcome:
        script = self._by_url.get(request.url) or self._script
        step = script.popleft() if script else Responded(200)
        if isinstance(step, Exception):
            raise step
        return await step.outcome if isinstance(step, Hang) else step
