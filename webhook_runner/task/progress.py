"""How far a task has come, as AMQP headers: the only place that knows the ``wr-*`` names."""

import re
from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.model import Envelope, Failure, HeaderValue, Kind, Task

HEADER_VERSION = 1
HANDED = "wr-handed"
"""Marks a copy that the wheel handed over at its due time, by the clock of who did."""

MAX_ERROR_CHARS = 256
MAX_TEXT_CHARS = 512
MAX_COUNT = 2**31 - 1
MAX_RUN = 2**53 - 1  # a run is numbered by the millisecond of its first receipt
MAX_EPOCH_MS = 253_402_300_799_999  # the end of the year 9999, the last that RFC 3339 can write

_ID = re.compile(r"[A-Za-z0-9_~-]{1,255}")
_QUEUE = re.compile(r"[^\x00-\x1f\x7f]{1,255}")  # whether it exists is for the caller to know
_FIRST_STATUS, _LAST_STATUS = 100, 999

Number = TypeVar("Number", int, float)


class Progress(Struct, frozen=True):
    """What the headers say of a task: everything in an ``Envelope`` but the task itself."""

    id: str
    queue: str
    first_at: float
    due_at: float
    kind: Kind
    run: int
    attempt: int
    gen: int
    doubtful: bool
    again: bool
    dedup: bool
    snoozes: int
    uncounted: int
    deaths: int
    alone: int
    first_attempt_at: float | None
    last_attempt_at: float | None
    last_status: int | None
    last_error: str
    failure: Failure | None
    origin: str
    correlation_id: str
    traceparent: str

    def envelope(self, task: Task) -> Envelope:
        """Return the envelope of ``task`` at this point of its way."""
        return Envelope(
            task=task,
            first_at=self.first_at,
            due_at=self.due_at,
            kind=self.kind,
            run=self.run,
            attempt=self.attempt,
            gen=self.gen,
            named=True,
            doubtful=self.doubtful,
            again=self.again,
            dedup=self.dedup,
            snoozes=self.snoozes,
            uncounted=self.uncounted,
            deaths=self.deaths,
            alone=self.alone,
            first_attempt_at=self.first_attempt_at,
            last_attempt_at=self.last_attempt_at,
            last_status=self.last_status,
            last_error=self.last_error,
            failure=self.failure,
            origin=self.origin,
            correlation_id=self.correlation_id,
            traceparent=self.traceparent,
        )


def progress_headers(envelope: Envelope) -> dict[str, HeaderValue]:
    """Return all AMQP headers of our own for one copy of a task. Times are epoch milliseconds."""
    headers: dict[str, HeaderValue] = {
        "wr-v": HEADER_VERSION,
        "wr-id": envelope.task.id,
        "wr-run": envelope.run,
        "wr-attempt": envelope.attempt,
        "wr-gen": envelope.gen,
        "wr-due": due_milliseconds(envelope.due_at),
        "wr-queue": envelope.task.queue,
        "wr-kind": envelope.kind.value,
        "wr-first": _milliseconds(envelope.first_at),
    }
    optional: dict[str, HeaderValue | None] = {
        "wr-doubtful": int(envelope.doubtful),
        "wr-again": int(envelope.again),
        "wr-dedup": int(envelope.dedup),
        "wr-snoozes": envelope.snoozes,
        "wr-uncounted": envelope.uncounted,
        "wr-deaths": envelope.deaths,
        "wr-alone": envelope.alone,
        "wr-status": envelope.last_status,
        "wr-error": _text(envelope.last_error, MAX_ERROR_CHARS),
        "wr-origin": envelope.origin,
        "wr-correlation": _text(envelope.correlation_id, MAX_TEXT_CHARS),
        "wr-traceparent": _text(envelope.traceparent, MAX_TEXT_CHARS),
    }
    headers.update((name, value) for name, value in optional.items() if value)
    if envelope.first_attempt_at is not None:
        headers["wr-attempted-first"] = _milliseconds(envelope.first_attempt_at)
    if envelope.last_attempt_at is not None:
        headers["wr-attempted-last"] = _milliseconds(envelope.last_attempt_at)
    if envelope.failure is not None:
        headers.update(_failure_headers(envelope.failure))
    return headers


def read_progress(headers: Mapping[str, HeaderValue]) -> Progress | None:
    """Return what our headers say, or None when the message has none of them.

    Raises:
        InvalidTaskError: a header is missing, of the wrong type, absurd, or of an unknown version.

    """
    if "wr-id" not in headers:
        return None
    version = headers.get("wr-v")
    if version != HEADER_VERSION:
        raise InvalidTaskError(
            "unknown_version",
            f"is {version!r:.40}, but this version of webhook_runner reads {HEADER_VERSION} only",
            "wr-v",
        )
    return Progress(
        id=_matching(headers, "wr-id", _ID),
        queue=_matching(headers, "wr-queue", _QUEUE),
        first_at=_needed(_seconds(headers, "wr-first"), "wr-first"),
        due_at=_needed(_seconds(headers, "wr-due"), "wr-due"),
        kind=_kind(headers),
        run=_needed(_integer(headers, "wr-run", 1, MAX_RUN), "wr-run"),
        attempt=_needed(_integer(headers, "wr-attempt", 1), "wr-attempt"),
        gen=_needed(_integer(headers, "wr-gen"), "wr-gen"),
        doubtful=bool(_integer(headers, "wr-doubtful", 0, 1)),
        again=bool(_integer(headers, "wr-again", 0, 1)),
        dedup=bool(_integer(headers, "wr-dedup", 0, 1)),
        snoozes=_integer(headers, "wr-snoozes") or 0,
        uncounted=_integer(headers, "wr-uncounted") or 0,
        deaths=_integer(headers, "wr-deaths") or 0,
        alone=_integer(headers, "wr-alone") or 0,
        first_attempt_at=_seconds(headers, "wr-attempted-first"),
        last_attempt_at=_seconds(headers, "wr-attempted-last"),
        last_status=_integer(headers, "wr-status", _FIRST_STATUS, _LAST_STATUS),
        last_error=_string(headers, "wr-error"),
        failure=_failure(headers),
        origin=_matching(headers, "wr-origin", _ID) if "wr-origin" in headers else "",
        correlation_id=_string(headers, "wr-correlation"),
        traceparent=_string(headers, "wr-traceparent"),
    )


def is_id(text: str) -> bool:
    """Whether a task, or a roll-back, may be named so."""
    return _ID.fullmatch(text) is not None


def copy_key(headers: Mapping[str, HeaderValue]) -> tuple[str, int, int] | None:
    """Return (id, run, gen) of the copy that has these headers; None of a publisher's message."""
    match (headers.get("wr-id"), headers.get("wr-run"), headers.get("wr-gen")):
        case (str(name), int(run), int(gen)):
            return (name, run, gen)
        case _:
            return None


def due_milliseconds(seconds: float) -> int:
    """Return the first whole epoch millisecond that is not before ``seconds`` (never early)."""
    milliseconds = _milliseconds(seconds)
    return milliseconds if milliseconds / 1000 >= seconds else milliseconds + 1


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _text(text: str, limit: int) -> str:
    """Cut ``text``, and replace what UTF-8 cannot carry, so that a publish never fails on it."""
    return text[:limit].encode("utf-8", "replace").decode("utf-8")


def _failure_headers(failure: Failure) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {
        "wr-reason": _text(failure.reason, MAX_TEXT_CHARS),
        "wr-attempts": failure.attempts,
    }
    if failure.last_status is not None:
        headers["wr-last-status"] = failure.last_status
    if failure.last_error:
        headers["wr-last-error"] = _text(failure.last_error, MAX_ERROR_CHARS)
    return headers


def _failure(headers: Mapping[str, HeaderValue]) -> Failure | None:
    if "wr-reason" not in headers:
        return None
    return Failure(
        reason=_string(headers, "wr-reason"),
        attempts=_integer(headers, "wr-attempts") or 0,
        last_status=_integer(headers, "wr-last-status", _FIRST_STATUS, _LAST_STATUS),
        last_error=_string(headers, "wr-last-error"),
    )


def _kind(headers: Mapping[str, HeaderValue]) -> Kind:
    try:
        return Kind(str(headers.get("wr-kind")))
    except ValueError:
        known = ", ".join(kind.value for kind in Kind)
        raise _bad(headers, "wr-kind", f"one of {known}") from None


def _integer(
    headers: Mapping[str, HeaderValue], name: str, low: int = 0, high: int = MAX_COUNT
) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _bad(headers, name, f"an integer from {low} to {high}")
    return value


def _seconds(headers: Mapping[str, HeaderValue], name: str) -> float | None:
    milliseconds = _integer(headers, name, 0, MAX_EPOCH_MS)
    return None if milliseconds is None else milliseconds / 1000


def _string(headers: Mapping[str, HeaderValue], name: str) -> str:
    value = headers.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        raise _bad(headers, name, f"a string of at most {MAX_TEXT_CHARS} characters")
    return value


def _matching(headers: Mapping[str, HeaderValue], name: str, pattern: re.Pattern[str]) -> str:
    value = headers.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _bad(headers, name, f"a string of the form {pattern.pattern}")
    return value


def _needed(value: Number | None, name: str) -> Number:
    if value is None:
        raise InvalidTaskError("bad_progress", "is missing", name)
    return value


def _bad(headers: Mapping[str, HeaderValue], name: str, wanted: str) -> InvalidTaskError:
    found = f"{headers.get(name)!r:.60}" if name in headers else "missing"
    return InvalidTaskError("bad_progress", f"must be {wanted}, but is {found}", name)
