"""What is written on a message that was put aside, read again; it may be of any version."""

from collections.abc import Mapping
from dataclasses import dataclass

from webhook_runner.task.model import HeaderValue, Kind


@dataclass(frozen=True, slots=True)
class Mark:
    """Why a message was put aside.

    ``summary`` is the JSON of what the last attempt of a task met with; ``run`` and ``attempts``
    are those of the task; ``field`` is the bad one of an invalid message.
    """

    id: str = ""
    run: int | None = None
    queue: str = ""
    kind: Kind = Kind.TASK
    reason: str = ""
    explanation: str = ""
    field: str = ""
    attempts: int = 0
    last_status: int | None = None
    last_error: str = ""
    summary: bytes = b""


def mark_of_dead(headers: Mapping[str, HeaderValue]) -> Mark:
    reason = _text(headers, "wr-reason")
    return Mark(
        id=_text(headers, "wr-id"),
        run=_number(headers, "wr-run"),
        queue=_text(headers, "wr-queue"),
        kind=Kind.ROLLBACK if headers.get("wr-kind") == Kind.ROLLBACK else Kind.TASK,
        reason=reason,
        explanation=_text(headers, "wr-error") or reason,
        attempts=_number(headers, "wr-attempts") or 0,
        last_status=_number(headers, "wr-last-status"),
        last_error=_text(headers, "wr-error"),
        summary=_text(headers, "wr-summary").encode(),
    )


def mark_of_invalid(headers: Mapping[str, HeaderValue]) -> Mark:
    return Mark(
        id=_text(headers, "wr-id"),
        run=_number(headers, "wr-run"),
        queue=_text(headers, "wr-source"),
        reason=_text(headers, "wr-error"),
        explanation=_text(headers, "wr-explanation"),
        field=_text(headers, "wr-field"),
    )


def _text(headers: Mapping[str, HeaderValue], name: str) -> str:
    value = headers.get(name, "")
    return value if isinstance(value, str) else ""


def _number(headers: Mapping[str, HeaderValue], name: str) -> int | None:
    value = headers.get(name)
    return value if isinstance(value, int) else None
