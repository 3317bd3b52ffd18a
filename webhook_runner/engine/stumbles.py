"""What becomes of a delivery that meets an error which nobody foresaw."""

import traceback
from contextlib import suppress

from webhook_runner.engine.passage import Passage
from webhook_runner.engine.settlement import Settlement
from webhook_runner.errors import InvalidTaskError
from webhook_runner.policy.starvation import STARVED_SECONDS, is_starved
from webhook_runner.ports import Clock, Delivery, Observer
from webhook_runner.task.event import Warned


class Stumbles:
    """A bug met by one task must not stop the others, nor one process without memory lose any."""

    def __init__(self, settlement: Settlement, observer: Observer, clock: Clock) -> None:
        self._settlement = settlement
        self._observer = observer
        self._clock = clock

    async def meet(self, delivery: Delivery, passage: Passage, error: Exception) -> bool:
        """Deal with a delivery that met ``error``; True: it is to be carried anew, here.

        Call it where the error is handled.
        """
        about = f"{type(error).__name__} in {delivery.queue}"
        if not is_starved(error):
            self._observer.notice(Warned(about, traceback.format_exc(limit=-8)))
            await self._set_down(delivery, passage, about)
            return False
        with suppress(MemoryError):
            self._observer.notice(Warned(about, f"this process has run out: {error!r}"))
        passage.leave()
        await self._clock.sleep(STARVED_SECONDS)
        if passage.used:
            await self._settlement.give_back(delivery)
        return not passage.used

    async def _set_down(self, delivery: Delivery, passage: Passage, about: str) -> None:
        """Give back what met a bug, for its next delivery is counted; but not for ever.

        Admission ends the task when attempts meet the bug. Whatever does not get so far again and
        again is set aside.
        """
        most = passage.lane.settings.max_redeliveries if delivery.counted else 0
        if passage.used or delivery.redeliveries <= most:
            await self._settlement.give_back(delivery)
        else:
            await self._settlement.reject(delivery, InvalidTaskError("internal_error", about))
