"""What became of each task: what arrived at the endpoint, what the daemon said, was it promised."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from examples.demo.door import Handed
from examples.demo.exhibits import REFUSED, Exhibit
from tests.parts.daemon import Event
from tests.parts.receiver import Request

ENDS = frozenset({"task.succeeded", "task.failed", "task.expired", "task.rejected"})
UNDONE = "task.rolled_back"
ON_THE_WAY = 0.5
"""Seconds that a request sent in time may take to arrive."""


@dataclass(frozen=True, slots=True)
class Story:
    """One exhibit and all that is known of it by now.

    Attributes:
        given_at: epoch seconds just before it was handed in.
        requests: what arrived, in order.
        events: what the daemon told, in order.

    """

    exhibit: Exhibit
    given_at: float
    handed: Handed
    requests: tuple[Request, ...]
    events: tuple[Event, ...]

    @property
    def end(self) -> str:
        """Return the event that ended it, REFUSED, or an empty string."""
        if not self.handed.taken:
            return REFUSED
        return next((str(e["event"]) for e in self.events if e["event"] in ENDS), "")

    @property
    def over(self) -> bool:
        """Whether nothing more is to come, its roll-back included."""
        undone = any(event["event"] == UNDONE for event in self.events)
        return bool(self.end) and (undone or not self.exhibit.rolled_back)

    @property
    def next_at(self) -> float | None:
        """Return the epoch seconds of its next request while it waits, else None."""
        last = self.events[-1] if self.events else {}
        return None if "next_at" not in last else at(last["next_at"])


def at(moment: object) -> float:
    """Return the epoch seconds of a time in a log line or a header."""
    return datetime.fromisoformat(str(moment)).timestamp()


def belongs(exhibit: Exhibit, event: Event) -> bool:
    """Whether a line of the daemon's log is about this exhibit or its roll-back."""
    if exhibit.end == "task.rejected":
        return event["event"] == exhibit.end
    return event.get("task_id") in {exhibit.id, f"{exhibit.id}~rb"}


def complaints(story: Story) -> Iterator[str]:
    """Yield every promise that was not kept; nothing when all is well."""
    exhibit = story.exhibit
    if story.end != exhibit.end:
        yield f"ended as {story.end or 'nothing'}, not {exhibit.end}"
    if exhibit.end == REFUSED and not story.handed.answer.startswith("422 countdown:"):
        yield f"the refusal names no field: {story.handed.answer}"
    paths = tuple(request.path for request in story.requests)
    if paths not in _lawful(exhibit):
        yield f"called {' '.join(paths) or 'nothing'}, not {' '.join(exhibit.calls) or 'nothing'}"
        return
    yield from _counts(story)
    yield from _early(story)


def _lawful(exhibit: Exhibit) -> set[tuple[str, ...]]:
    fewest = 1 if exhibit.expires < math.inf else len(exhibit.waits)
    undo = exhibit.calls[len(exhibit.waits) :]
    return {(*exhibit.calls[:own], *undo) for own in range(fewest, len(exhibit.waits) + 1)}


def _own(story: Story) -> tuple[Request, ...]:
    return story.requests[:-1] if story.exhibit.rolled_back else story.requests


def _counts(story: Story) -> Iterator[str]:
    own = _own(story)
    attempts = [request.header("Webhook-Runner-Attempt") for request in own]
    if attempts != [str(number) for number in range(1, len(own) + 1)]:
        yield f"attempts were numbered {attempts}"
    if not story.exhibit.rolled_back:
        return
    undo = story.requests[-1]
    if undo.header("Webhook-Runner-Event") != "rollback":
        yield "the last call was not the roll-back"
    if undo.header("Webhook-Runner-Attempts") != str(len(own)):
        yield "the roll-back was told another number of attempts"
    if not any(event["event"] == UNDONE for event in story.events):
        yield "the roll-back was not finished"


def _early(story: Story) -> Iterator[str]:
    before = story.given_at
    for wait, request in zip(story.exhibit.waits, _own(story), strict=False):
        waited = request.arrived_at - before
        if waited < wait:
            yield f"{request.path} came {wait - waited:.3f} s early"
        if request.arrived_at >= story.exhibit.expires + ON_THE_WAY:
            yield f"{request.path} came after it had expired"
        eta = request.header("Webhook-Runner-Eta")
        if eta and request.arrived_at < at(eta):
            yield f"{request.path} came before its time {eta}"
        before = request.arrived_at
