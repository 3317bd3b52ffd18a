"""From a task on its way to the HTTP request that is sent for it now."""

import re
from collections.abc import Iterable, Mapping

from webhook_runner.settings import QueueSettings
from webhook_runner.task.instant import rfc_3339
from webhook_runner.task.limit import retries_of
from webhook_runner.task.model import Envelope, Kind, Task
from webhook_runner.task.request import Request
from webhook_runner.task.url import absolute

SHORTEST_TIMEOUT_SECONDS = 0.001

_NOT_IN_A_VALUE = re.compile(r"[^ -~]+")


def request_for(
    envelope: Envelope,
    queue: QueueSettings,
    base_url: str,
    *,
    version: str,
    now: float | None = None,
) -> Request:
    """Return the request of the next attempt; ``base_url`` is the global one.

    ``now`` (epoch seconds) is needed for ``expires_aborts`` only.

    Raises:
        InvalidTaskError: the URL is a path and there is no base for it.

    """
    task = envelope.task
    headers = _merged(
        _defaults(task.body, version), queue.headers, task.headers, _ours(envelope, queue)
    )
    return Request(
        method=task.method,
        url=absolute(task.url, queue.base_url or base_url),
        headers=headers,
        body=task.body,
        timeout=_timeout(envelope, queue, now),
        connect_timeout=queue.connect_timeout,
    )


def _timeout(envelope: Envelope, queue: QueueSettings, now: float | None) -> float:
    task = envelope.task
    timeout = min(task.timeout or queue.timeout, queue.max_timeout)
    if not queue.expires_aborts or task.expires is None or now is None:
        return timeout
    return max(SHORTEST_TIMEOUT_SECONDS, min(timeout, task.expires - now))


def _merged(
    defaults: Mapping[str, str],
    queue: Mapping[str, str],
    task: Mapping[str, str],
    ours: Mapping[str, str],
) -> Mapping[str, str]:
    """Lay headers over each other: later layers win, and case does not matter."""
    if not queue and not task:
        return {**defaults, **ours}  # no name is in both
    layers = defaults, queue, task, ours
    merged = {name.lower(): (name, value) for layer in layers for name, value in layer.items()}
    return dict(merged.values())


def _defaults(body: bytes, version: str) -> dict[str, str]:
    defaults = {"User-Agent": f"webhook_runner/{version}"}
    if body:
        defaults["Content-Type"] = "application/json"
    return defaults


def _ours(envelope: Envelope, queue: QueueSettings) -> dict[str, str]:
    headers = {
        "Webhook-Runner-Task-Id": envelope.origin or envelope.task.id,
        "Webhook-Runner-Queue": envelope.task.queue,
        "Webhook-Runner-Event": envelope.kind.value,
        "Webhook-Runner-Attempt": str(envelope.attempt),
        "Webhook-Runner-Retry-Count": str(envelope.attempt - 1),
        "Idempotency-Key": envelope.task.id,
        "Accept-Encoding": "identity",
    }
    limit = retries_of(envelope, queue)
    if limit is not None:
        headers["Webhook-Runner-Max-Retries"] = str(limit)
    if envelope.doubtful:
        headers["Webhook-Runner-Possible-Duplicate"] = "true"
    if envelope.traceparent:
        headers["traceparent"] = envelope.traceparent
    for name, value in (*_times(envelope.task, envelope.due_at), *_history(envelope)):
        if value:
            headers[f"Webhook-Runner-{name}"] = value
    return headers


def _times(task: Task, due_at: float) -> Iterable[tuple[str, str]]:
    if task.eta is not None or task.countdown is not None:
        yield "Eta", rfc_3339(due_at)
    if task.expires is not None:
        yield "Expires", rfc_3339(task.expires)


def _history(envelope: Envelope) -> Iterable[tuple[str, str]]:
    if envelope.attempt > 1:
        status = "" if envelope.last_status is None else str(envelope.last_status)
        yield "Previous-Status", status
        yield "Retry-Reason", _sendable(envelope.last_error) or status
    if envelope.kind is Kind.ROLLBACK and envelope.failure is not None:
        failure = envelope.failure
        yield "Failure-Reason", _sendable(failure.reason)
        yield "Attempts", str(failure.attempts)
        yield "Last-Status", "" if failure.last_status is None else str(failure.last_status)


def _sendable(text: str) -> str:
    return _NOT_IN_A_VALUE.sub("?", text)[:256].strip()
