"""What follows a task that failed for good: its roll-back task, and the summary of its end."""

import base64
import codecs
from typing import Any

import msgspec

from webhook_runner.settings import QueueSettings
from webhook_runner.task.instant import rfc_3339
from webhook_runner.task.model import Envelope, Failure, Kind, Task
from webhook_runner.task.outcome import Outcome, Responded

KEPT_HEADERS = ("content-type", "retry-after", "date", "location", "webhook-runner-retry")
ROLLBACK_SUFFIX = "~rb"
BODILESS = frozenset({"GET", "HEAD"})

_OTHER_ENDS = frozenset({"expired", "cancelled"})


def summary(envelope: Envelope, failure: Failure, outcome: Outcome | None) -> dict[str, Any]:
    """Return the ``failure`` object of the roll-back envelope; dead letters carry it too."""
    return {
        "reason": failure.reason,
        "detail": failure.detail,
        "attempts": failure.attempts,
        "first_attempt_at": _written(envelope.first_attempt_at),
        "last_attempt_at": _written(envelope.last_attempt_at),
        "last_status": failure.last_status,
        "last_error": failure.last_error,
        "last_response": _response(outcome) if isinstance(outcome, Responded) else None,
    }


def rollback(
    envelope: Envelope, failure: Failure, told: dict[str, Any], queue: QueueSettings, now: float
) -> Envelope | None:
    """Return the roll-back task of a failed task, or None when it has none to call.

    ``told`` is the failure's ``summary``. The roll-back has the id ``<id>~rb``, the same queue
    and limits, no expiry, no countdown, and no roll-back of its own.
    """
    task, call = envelope.task, envelope.task.roll_back
    end = failure.reason if failure.reason in _OTHER_ENDS else "failed"
    if call is None or envelope.kind is Kind.ROLLBACK or end not in queue.rollback_on:
        return None
    message: dict[str, Any] = {"url": call.url, "method": call.method}
    if call.headers:
        message["headers"] = dict(call.headers)
    if call.method in BODILESS:
        pass
    elif queue.rollback_body == "envelope":
        message["payload"] = _envelope(envelope, told)
    elif task.payload is not None:
        message["payload"] = msgspec.Raw(task.payload)
    undo = Task(
        id=task.id + ROLLBACK_SUFFIX,
        queue=task.queue,
        url=call.url,
        source=msgspec.json.encode(message),
        method=call.method,
        headers=call.headers,
    )
    return Envelope(
        task=undo,
        first_at=now,
        due_at=now,
        kind=Kind.ROLLBACK,
        run=envelope.run,
        gen=1,  # a copy of ours: one that comes twice is known by (id, run, gen)
        failure=failure,
        origin=task.id,
        correlation_id=envelope.correlation_id,
        traceparent=envelope.traceparent,
    )


def _envelope(envelope: Envelope, told: dict[str, Any]) -> dict[str, Any]:
    task = envelope.task
    return {
        "type": "task.failed",
        "id": task.id,
        "queue": task.queue,
        "url": task.url,
        "method": task.method,
        "payload": msgspec.Raw(task.payload) if task.payload is not None else None,
        "metadata": msgspec.Raw(task.metadata) if task.metadata is not None else None,
        "failure": told,
        "created_at": _written(envelope.first_at),
        "eta": _written(task.eta),
        "expires": _written(task.expires),
    }


def _response(response: Responded) -> dict[str, Any]:
    kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    try:
        # A cut may fall inside a character: an unfinished last one is left out.
        text = codecs.getincrementaldecoder("utf-8")().decode(
            response.body, final=not response.truncated
        )
        body: dict[str, Any] = {"body": text}
    except UnicodeDecodeError:
        body = {"body": base64.b64encode(response.body).decode("ascii"), "base64": True}
    return {"headers": kept, **body, "truncated": response.truncated}


def _written(at: float | None) -> str | None:
    return None if at is None else rfc_3339(at)
