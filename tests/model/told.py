"""What a daemon tells of itself, held against the book."""

from tests.fakes.observer import RecordingObserver
from tests.model.book import Book
from tests.model.virtual_time import LoopClock
from webhook_runner.task.event import (
    Event,
    RetryScheduled,
    TaskCancelled,
    TaskDropped,
    TaskFailed,
    TaskScheduled,
    TaskSucceeded,
    Warned,
)


class Told(RecordingObserver):
    """Implements ports.Observer for one life of a daemon."""

    def __init__(self, book: Book, clock: LoopClock) -> None:
        super().__init__()
        self._book = book
        self._clock = clock
        self.open = True

    def notice(self, event: Event) -> None:
        if self.open:
            self._take(event)

    def _take(self, event: Event) -> None:
        book, now = self._book, self._clock.now()
        match event:
            case RetryScheduled(envelope) | TaskScheduled(envelope):
                book.scheduled(envelope)
            case TaskSucceeded(envelope):
                book.ended(envelope, "succeeded", "", now)
            case TaskFailed(envelope, failure, expired, rolled_back):
                how = "expired" if expired else "failed"
                book.ended(envelope, how, failure.reason, now)
                book.rolled_back(envelope, how, told=rolled_back)
            case TaskCancelled(envelope, rolled_back):
                book.ended(envelope, "cancelled", "", now)
                if rolled_back:
                    book.rolled_back(envelope, "cancelled", told=True)
            case TaskDropped(envelope, reason):
                book.dropped(envelope, reason)
            case Warned(about, text) if "Traceback" in text or " failed on " in text:
                book.wrong.append(f"{about}: {text}")
