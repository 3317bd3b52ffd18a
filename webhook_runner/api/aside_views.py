"""What was put aside as the API tells it: dead letters and invalid messages."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from webhook_runner.api.task_views import Time, raw_json
from webhook_runner.engine.aside_control import AsideView, Replayed
from webhook_runner.observe.redact import clean
from webhook_runner.task.instant import rfc_3339


class AsideItem(Struct, frozen=True):
    """A dead letter or an invalid message; `letter` names it within its queue."""

    letter: str
    id: str | None
    run: int | None
    queue: str
    at: Annotated[Time | None, Meta(description="When it was put aside, if that is known.")]
    reason: str
    field: Annotated[str | None, Meta(description="Of an invalid message: what is wrong.")]
    explanation: str | None
    url: str | None
    method: str | None
    attempts: int | None
    last_status: int | None
    last_error: str | None
    kind: str | None
    size: Annotated[int, Meta(description="Bytes of the message.")]
    summary: Annotated[
        Any, Meta(description="What the last attempt met with, where it is one that was shown.")
    ] = msgspec.UNSET
    message: Annotated[
        Any,
        Meta(description="As published, where it is one that was shown; text when no JSON."),
    ] = msgspec.UNSET


class AsidePage(Struct, frozen=True):
    """A page, oldest first; `next` is the cursor of the following one, or null."""

    items: list[AsideItem]
    next: str | None


class Dropped(Struct, frozen=True):
    dropped: int


class ReplayedLine(Struct, frozen=True):
    """One that was replayed, or why it was not."""

    letter: str
    id: str | None
    run: int | None
    error: str | None


class ReplayEnd(Struct, frozen=True):
    """The last line of a replay."""

    replayed: int
    failed: int
    matched: int
    dry_run: bool


def aside_item(view: AsideView, *, whole: bool, shown: bool = False) -> AsideItem:
    """Return what is told of it; ``shown``: with its message, if the caller may see ``whole``."""
    seen = str if whole else clean
    with_message = whole and shown
    return AsideItem(
        letter=view.letter,
        id=view.id or None,
        run=view.run or None,
        queue=view.queue,
        at=rfc_3339(view.at) if view.at else None,
        reason=view.reason,
        field=view.field or None,
        explanation=view.explanation or None,
        url=seen(view.url) or None,
        method=view.method or None,
        attempts=view.attempts,
        last_status=view.last_status,
        last_error=seen(view.last_error) or None,
        kind=view.kind or None,
        size=view.size,
        summary=raw_json(view.summary or None) if with_message else msgspec.UNSET,
        message=raw_json(view.body) if with_message else msgspec.UNSET,
    )


def replayed_line(one: Replayed) -> ReplayedLine:
    return ReplayedLine(one.letter, one.id or None, one.run, one.error or None)
