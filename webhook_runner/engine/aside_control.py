"""What a person may do with what was put aside: look at it, take it away, run it again, drop it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from webhook_runner.engine.intake import Intake
from webhook_runner.engine.queues import Queues
from webhook_runner.engine.revival import Revival
from webhook_runner.errors import InvalidTaskError, UnknownQueueError, UnknownTaskError
from webhook_runner.policy.rate import TokenBucket
from webhook_runner.ports import Clock, Observer, Shelf
from webhook_runner.task.codec import called
from webhook_runner.task.event import TaskAccepted
from webhook_runner.task.mark import Mark, mark_of_dead, mark_of_invalid
from webhook_runner.task.model import Envelope, Kind
from webhook_runner.task.notice import Aside, PutAside


@dataclass(frozen=True, slots=True)
class AsideFilter:
    """Which letters are meant; empty means any. Times are epoch seconds, ``until`` exclusive."""

    ids: frozenset[str] = frozenset()
    letters: frozenset[str] = frozenset()
    reason: str = ""
    status: int | None = None
    url_prefix: str = ""
    since: float | None = None
    until: float | None = None

    def takes(self, view: "AsideView") -> bool:
        """Whether a letter is meant."""
        return all(
            (
                not self.ids or view.id in self.ids,
                not self.letters or view.letter in self.letters,
                not self.reason or view.reason == self.reason,
                self.status is None or view.last_status == self.status,
                view.url.startswith(self.url_prefix),
                self.since is None or view.at >= self.since,
                self.until is None or view.at < self.until,
            )
        )


ANY = AsideFilter()


@dataclass(frozen=True, slots=True)
class AsideView:
    """A message that was put aside.

    Attributes:
        at: when, in epoch seconds; 0 when that is not known.
        field: the bad one of an invalid message.
        url, method: what it would have called, as far as it can be read.
        size: bytes of the message; ``body`` has them, in ``show`` and ``export`` only.
        summary: JSON of what the last attempt met with; there too.

    """

    letter: str
    id: str
    run: int | None
    queue: str
    at: float
    reason: str
    field: str
    explanation: str
    url: str
    method: str
    attempts: int
    last_status: int | None
    last_error: str
    kind: Kind
    size: int
    body: bytes | None = dataclass_field(default=None, repr=False)
    summary: bytes = dataclass_field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a letter: the run that it is now, or why it stays where it was.

    Without both it was only looked at.
    """

    letter: str
    id: str
    run: int | None = None
    error: str = ""


class AsideControl:
    """Dead letters and invalid messages of a queue.

    All raise UnknownQueueError and BrokerUnavailableError. A queue that is configured no more
    may still be asked for.
    """

    def __init__(
        self,
        queues: Queues,
        shelf: Shelf,
        intake: Intake,
        revival: Revival,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._queues = queues
        self._shelf = shelf
        self._intake = intake
        self._revival = revival
        self._observer = observer
        self._clock = clock

    async def page(
        self, aside: Aside, queue: str, which: AsideFilter = ANY, limit: int = 100, after: str = ""
    ) -> tuple[list[AsideView], str]:
        """Return some letters, oldest first, and what to give as ``after`` for more, or ""."""
        views: list[AsideView] = []
        async with aclosing(self._chosen(aside, queue, which, after)) as chosen:
            async for _, view in chosen:
                if len(views) == limit:
                    return views, _cursor(views[-1])
                views.append(view)
        return views, ""

    async def show(self, aside: Aside, queue: str, letter: str) -> AsideView:
        """Return one letter with its bytes. Raises UnknownTaskError."""
        which = AsideFilter(letters=frozenset({letter}))
        async with aclosing(self.export(aside, queue, which)) as found:
            async for view in found:
                return view
        raise UnknownTaskError(f"no letter {letter:.100} lies in {aside} of {queue:.100}")

    async def export(
        self, aside: Aside, queue: str, which: AsideFilter = ANY
    ) -> AsyncGenerator[AsideView, None]:
        """Go through letters with their bytes."""
        async with aclosing(self._chosen(aside, queue, which)) as chosen:
            async for item, _ in chosen:
                yield _view(item, whole=True)

    async def drop(self, aside: Aside, queue: str, which: AsideFilter = ANY) -> int:
        """Remove letters for good; how many that were."""
        self._check(queue)
        if which == ANY:
            return await self._shelf.clear(aside, queue)
        count = 0
        async with aclosing(self._chosen(aside, queue, which)) as chosen:
            async for item, _ in chosen:
                await self._shelf.remove(item)
                count += 1
        return count

    async def replay(
        self,
        aside: Aside,
        queue: str,
        which: AsideFilter = ANY,
        *,
        rate: float | None = None,
        dry_run: bool = False,
        edit: bytes | None = None,
        to_queue: str = "",
    ) -> AsyncGenerator[Replayed, None]:
        """Run letters again, each as a new run of its id, and tell of each as it is done.

        A letter is removed once the broker keeps its task; a crash in between leaves both. What is
        no task by the rules of today is told with the reason, and stays. ``rate`` is letters per
        second; ``edit`` a JSON merge patch of each message; ``dry_run`` only tells which.
        """
        if to_queue:
            self._check(to_queue)
        bucket = TokenBucket(rate or float("inf"), 1, self._clock.monotonic())
        async with aclosing(self._chosen(aside, queue, which)) as chosen:
            async for item, view in chosen:
                if dry_run:
                    yield Replayed(view.letter, view.id)
                    continue
                while not bucket.take(self._clock.monotonic()):
                    await self._clock.sleep(bucket.wait(self._clock.monotonic()))
                yield await self._replay_one(item, view, edit, to_queue)

    async def _replay_one(
        self, item: PutAside, view: AsideView, edit: bytes | None, to_queue: str
    ) -> Replayed:
        try:
            envelope = self._revived(item, edit, to_queue)
        except InvalidTaskError as error:
            return Replayed(view.letter, view.id, error=str(error))
        await self._intake.keep(envelope)
        self._observer.notice(TaskAccepted(envelope))
        await self._shelf.remove(item)
        return Replayed(view.letter, envelope.task.id, envelope.run)

    def _revived(self, item: PutAside, edit: bytes | None, to_queue: str) -> Envelope:
        return self._revival.of_letter(item, _mark(item), edit, to_queue)

    async def _chosen(
        self, aside: Aside, queue: str, which: AsideFilter, after: str = ""
    ) -> AsyncGenerator[tuple[PutAside, AsideView], None]:
        """Go through what is there now: what a replay puts aside again is not taken once more."""
        self._check(queue)
        began = self._clock.now()
        passed = not after
        async with self._shelf.walk(aside, queue) as items:
            async for item in items:
                if item.at > began:
                    return
                if not passed:
                    passed, is_first = _is_behind(item, after)
                    if not is_first:
                        continue
                view = _view(item)
                if which.takes(view):
                    yield item, view

    def _check(self, queue: str) -> None:
        if queue not in self._queues.lanes:
            known = ", ".join(sorted(self._queues.lanes))
            raise UnknownQueueError(f"{queue:.100} is not one of {known}")


def _cursor(view: AsideView) -> str:
    return f"{round(view.at * 1000)}.{view.letter}"


def _is_behind(item: PutAside, after: str) -> tuple[bool, bool]:
    """Return whether all that follows comes after a cursor, and whether this one does already.

    The letter that it names may be gone by now: then what was put aside later is behind it.
    """
    at, _, letter = after.partition(".")
    if item.letter == letter:
        return True, False
    is_later = at.isdecimal() and round(item.at * 1000) > int(at)
    return is_later, is_later


def _mark(item: PutAside) -> Mark:
    read = mark_of_dead if item.aside is Aside.DEAD else mark_of_invalid
    return read(item.message.headers)


def _view(item: PutAside, *, whole: bool = False) -> AsideView:
    mark, message = _mark(item), item.message
    url, method, name = called(message.body)
    return AsideView(
        letter=item.letter,
        id=mark.id or name or message.message_id,
        run=mark.run,
        queue=item.queue,
        at=item.at,
        reason=mark.reason,
        field=mark.field,
        explanation=mark.explanation,
        url=url,
        method=method,
        attempts=mark.attempts,
        last_status=mark.last_status,
        last_error=mark.last_error,
        kind=mark.kind,
        size=len(message.body),
        body=message.body if whole else None,
        summary=mark.summary if whole else b"",
    )
