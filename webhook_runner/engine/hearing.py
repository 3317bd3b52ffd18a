"""What this daemon hears of others, and of what was decided before it started."""

import msgspec

from webhook_runner.engine.destinations import DESTINATION
from webhook_runner.engine.fellows import Fellows
from webhook_runner.engine.holdings import Holdings
from webhook_runner.engine.queues import Queues
from webhook_runner.engine.revocations import TASK
from webhook_runner.engine.steering import QUEUE
from webhook_runner.errors import InvalidTaskError
from webhook_runner.ports import Observer
from webhook_runner.task.event import Warned
from webhook_runner.task.notice import Notice


class Hearing:
    """Hands notices and words on to whom they concern. Implements ports.Listener."""

    def __init__(
        self, holdings: Holdings, queues: Queues, fellows: Fellows, observer: Observer
    ) -> None:
        self._holdings = holdings
        self._queues = queues
        self._fellows = fellows
        self._observer = observer

    def recall(self, notice: Notice) -> None:
        try:
            if notice.key.startswith(TASK):
                further = self._holdings.recall(notice)
                if further is not None:
                    self._fellows.spread(further)
            elif notice.key.startswith(QUEUE):
                self._queues.recall(notice)
            elif notice.key.startswith(DESTINATION):
                self._queues.destinations.recall(notice)
        except (msgspec.MsgspecError, ValueError, InvalidTaskError) as error:
            self._misheard(f"the notice {notice.key:.100}", error)

    def hear(self, word: bytes) -> None:
        try:
            self._fellows.hear(word)
        except (msgspec.MsgspecError, ValueError) as error:
            self._misheard("a word of another daemon", error)

    def _misheard(self, what: str, error: Exception) -> None:
        # Another version may know other words: what is not understood is none of ours.
        self._observer.notice(Warned(f"misheard {what}", f"{what} is not understood: {error}"))
