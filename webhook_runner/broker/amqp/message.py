"""Between AMQP messages and ours: what is believed of an arrival, and how each publish looks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from webhook_runner.broker.amqp.channel import Arrival, Outgoing
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.broker.letter import SET_ASIDE, death_marks, shortened
from webhook_runner.ports import Delivery
from webhook_runner.task.model import Envelope, HeaderValue, Message
from webhook_runner.task.progress import progress_headers

DUE = "wr-due"
QUEUE = "wr-queue"
DOUBTFUL = "wr-doubtful"
ALONE = "wr-alone"
_OURS = "wr-"
_TRACE = "traceparent"
_COUNT = "x-delivery-count"
_FOREIGN_HEADERS_LIMIT = 32_768
# These would be acted upon by the broker: routed again, or taken for its own history.
_ACTED_UPON = frozenset(("cc", "bcc"))


@dataclass(slots=True, eq=False)
class Handle:
    """What the adapter needs to settle a delivery."""

    arrival: Arrival
    settled: Callable[[], None] | None = None


def handle_of(delivery: Delivery) -> Handle:
    return cast("Handle", delivery.handle)


def own_headers(headers: Mapping[str, object]) -> dict[str, HeaderValue]:
    """Pick our headers; values that we never write are left out."""
    return {
        name: value
        for name, value in headers.items()
        if name.startswith(_OURS) and isinstance(value, str | int)
    }


def delivery_of(arrival: Arrival, queue: str, *, ours: bool) -> Delivery:
    """Build what the engine sees. ``ours``: it came through an exchange of ours."""
    # At a first delivery the broker writes no count: one that is there is the publisher's.
    count = arrival.headers.get(_COUNT) if arrival.redelivered else None
    counted = isinstance(count, int) or not arrival.redelivered
    return Delivery(
        queue=queue,
        message=Message(
            body=arrival.body,
            headers=own_headers(arrival.headers) if ours else {},
            message_id=arrival.message_id,
            timestamp=arrival.timestamp,
            content_type=arrival.content_type,
            content_encoding=arrival.content_encoding,
            correlation_id=arrival.correlation_id,
            traceparent=_text(arrival.headers.get(_TRACE)),
            persistent=arrival.persistent,
            expiration=arrival.expiration,
        ),
        redeliveries=count if isinstance(count, int) else int(arrival.redelivered),
        counted=counted,
        handle=Handle(arrival),
    )


def task_message(envelope: Envelope, exchange: str, key: str, *, again: bool = False) -> Outgoing:
    """Build the message of a task: its own bytes, its progress in headers.

    ``again``: it may have been published before without a confirm.
    """
    headers: dict[str, object] = dict(progress_headers(envelope))
    if again:
        headers[DOUBTFUL] = 1
    if envelope.traceparent:
        headers[_TRACE] = envelope.traceparent
    return Outgoing(
        exchange=exchange,
        key=key,
        body=envelope.task.source,
        headers=headers,
        content_type="application/json",
        correlation_id=envelope.correlation_id,
    )


def dead_letter(envelope: Envelope, summary: bytes, topology: Topology, died_at: float) -> Outgoing:
    """Build the dead letter; ``died_at`` is in epoch seconds."""
    queue = topology.dead(envelope.task.queue)
    plain = task_message(envelope, topology.work, queue)
    headers = dict(plain.headers) | death_marks(envelope, summary, died_at)
    return Outgoing(
        exchange=plain.exchange,
        key=plain.key,
        body=plain.body,
        headers=headers,
        content_type=plain.content_type,
        correlation_id=plain.correlation_id,
    )


def quarantined(
    delivery: Delivery, marks: Mapping[str, HeaderValue], topology: Topology, at: float
) -> Outgoing:
    """Build the invalid message: every byte of it, and its properties, as they were.

    ``marks`` say why; ``at`` is in epoch seconds.
    """
    arrival = handle_of(delivery).arrival
    return Outgoing(
        exchange=topology.work,
        key=topology.invalid(delivery.queue),
        body=arrival.body,
        headers={**_harmless(arrival.headers), **marks, SET_ASIDE: round(at * 1000)},
        content_type=arrival.content_type,
        content_encoding=arrival.content_encoding,
        correlation_id=arrival.correlation_id,
        message_id=arrival.message_id,
        timestamp=arrival.timestamp,
    )


def moved(
    arrival: Arrival, exchange: str, key: str, changed: Mapping[str, HeaderValue]
) -> Outgoing:
    """Build the same message for another place; only our own headers go with it."""
    headers: dict[str, object] = {**own_headers(arrival.headers), **changed}
    if _TRACE in arrival.headers:
        headers[_TRACE] = _text(arrival.headers[_TRACE])
    return Outgoing(
        exchange=exchange,
        key=key,
        body=arrival.body,
        headers=headers,
        content_type=arrival.content_type,
        content_encoding=arrival.content_encoding,
        correlation_id=arrival.correlation_id,
        timestamp=arrival.timestamp,
    )


def due_of(arrival: Arrival) -> float | None:
    """Return the due time in epoch seconds; None when there is none that makes sense."""
    due = arrival.headers.get(DUE)
    return due / 1000 if isinstance(due, int) else None


def queue_of(arrival: Arrival) -> str:
    return _text(arrival.headers.get(QUEUE))


def _harmless(headers: Mapping[str, object]) -> dict[str, object]:
    """Keep a publisher's own plain headers, as far as they fit into a frame."""
    kept: dict[str, object] = {}
    size = 0
    for name, value in headers.items():
        if name.lower().startswith(("x-", _OURS)) or name.lower() in _ACTED_UPON:
            continue
        if isinstance(value, str | int | float | bool):
            size += len(name) + len(str(value))
            if size <= _FOREIGN_HEADERS_LIMIT:
                kept[name] = value
    return kept


def _text(value: object) -> str:
    return shortened(value) if isinstance(value, str) else ""
