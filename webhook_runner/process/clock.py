"""The real clock, the real dice and new task ids."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable

from webhook_runner.ports import Dice

_COUNTER_BITS = 12
_TAIL_BITS = 62
# A longer sleep would not notice that the wall clock was set.
_LONGEST_NAP = 1.0


class SystemClock:
    """The port Clock over the operating system's clocks."""

    # Not functions of ours around them: they are asked twenty times for each task.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sleep_until(self, when: float) -> None:
        while (wait := when - time.time()) > 0:  # noqa: ASYNC110 - the wall clock tells nobody
            await asyncio.sleep(min(wait, _LONGEST_NAP))


def dice() -> Dice:
    """Return dice that differ from process to process."""
    return random.Random(secrets.randbits(128)).random  # noqa: S311 - for jitter, not for secrets


class TaskIds:
    """Makes ids that sort by the time they were made, even within a millisecond.

    A UUIDv7 whose 12 bits after the time count within the millisecond (RFC 9562, 6.2, method 1:
    a counter that starts at a random half and borrows a millisecond when it overflows).
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last = 0

    def __call__(self) -> str:
        fresh = (int(self._now() * 1000) << _COUNTER_BITS) | secrets.randbits(_COUNTER_BITS - 1)
        self._last = max(self._last + 1, fresh)
        milliseconds, counter = divmod(self._last, 1 << _COUNTER_BITS)
        tail = secrets.randbits(_TAIL_BITS) | (0b10 << _TAIL_BITS)
        text = f"{milliseconds:012x}7{counter:03x}{tail:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


task_id: Callable[[], str] = TaskIds()
