"""Every event as a line of the log, told once: which lines are written, not how they look."""

import logging
import time
from collections.abc import Callable

from webhook_runner.observe.line import Fields
from webhook_runner.observe.lines import Renderer, attempt_fields
from webhook_runner.observe.logger import Logger
from webhook_runner.observe.seldom import Seldom
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RetryScheduled,
    TaskAccepted,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskReleased,
    TaskScheduled,
    TaskSucceeded,
    Warned,
)
from webhook_runner.task.model import Envelope

_MOST_REMEMBERED = 10_000
# Tuples: each of these questions is asked several times for each task.
_ENDS_ATTEMPT = (RetryScheduled, TaskSucceeded, TaskFailed, TaskScheduled, TaskReleased)
_DETAILS = (AttemptStarted, AttemptFinished, TaskAccepted)


def _is_detail(event: Event) -> bool:
    """Whether the line would be for debugging; a shortcut around rendering the busiest ones."""
    if isinstance(event, TaskReceived):
        return not event.envelope.turn
    return isinstance(event, _DETAILS)


class LogObserver:
    """Writes one line per event. Repeated news is told once, or once a minute with a count.

    The line that ends an attempt (succeeded, failed, retry) also carries what the attempt met
    with: ``status``, ``error``, ``duration_ms``, ``lag_ms``.
    """

    def __init__(
        self,
        logger: Logger,
        *,
        metadata: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.logger = logger
        self._line = Renderer(metadata).line
        self._attempts: dict[tuple[str, int], AttemptFinished] = {}
        self._rejected = Seldom(monotonic)
        self._warned: set[str] = set()
        self._is_brief = not logger.is_enabled_for(logging.DEBUG)

    def notice(self, event: Event) -> None:
        if isinstance(event, AttemptFinished):
            self._remember(event)
        if self._is_brief and _is_detail(event):
            return
        before: Fields = {}
        if isinstance(event, _ENDS_ATTEMPT):
            before = self._forget(event.envelope)
        if isinstance(event, Warned) and self._is_told(event.about):
            return
        if isinstance(event, TaskRejected):
            suppressed = self._rejected.suppressed((event.queue, event.reason))
            if suppressed is None:
                return
            before = {"suppressed": suppressed} if suppressed else before
        level, name, fields = self._line(event)
        self.logger.log(level, name, **(before | fields))

    def _remember(self, event: AttemptFinished) -> None:
        if len(self._attempts) >= _MOST_REMEMBERED:
            self._attempts.clear()
        self._attempts[event.envelope.task.id, event.envelope.run] = event

    def _forget(self, envelope: Envelope) -> Fields:
        finished = self._attempts.pop((envelope.task.id, envelope.run), None)
        return attempt_fields(finished) if finished else {}

    def _is_told(self, about: str) -> bool:
        if about in self._warned:
            return True
        if len(self._warned) >= _MOST_REMEMBERED:
            self._warned.clear()
        self._warned.add(about)
        return False
