"""A copy waits until the message it was made of is acknowledged, so that a crash cannot double it.

The broker may hand the copy over before the confirm of its publish has come.
"""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from webhook_runner.policy.verdict import Forward, Postpone, Retry, Verdict
from webhook_runner.task.model import Envelope

# So many turns of the event loop, and some more, pass before an ack has reached the socket.
TURNS = 10


_NOTHING = nullcontext()


class Succession:
    """The copies whose originals are being settled here.

    If the request of a copy killed the process before its original was acknowledged, both would
    be in the broker: a task that kills processes would multiply.
    """

    def __init__(self) -> None:
        self._settling: dict[Hashable, asyncio.Event] = {}

    def making(self, verdict: Verdict) -> AbstractContextManager[None]:
        """Hold back the copy that ``verdict`` publishes, if any, until its original is settled."""
        if isinstance(verdict, Forward | Postpone | Retry):
            return self._holding(verdict.next.key)
        return _NOTHING

    @contextmanager
    def _holding(self, key: Hashable) -> Iterator[None]:
        settled = self._settling[key] = asyncio.Event()
        try:
            yield
        finally:
            settled.set()
            if self._settling.get(key) is settled:
                del self._settling[key]

    async def original_settled(self, envelope: Envelope) -> None:
        settling = self._settling.get(envelope.key)
        if settling is None:
            return
        await settling.wait()
        for _ in range(TURNS):
            await asyncio.sleep(0)
