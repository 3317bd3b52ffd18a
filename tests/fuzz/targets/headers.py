"""The headers of an AMQP message: the progress of a task, or the reason why they are none."""

import struct
from contextlib import suppress
from typing import cast

from pamqp import decode as amqp_decode

from tests.fuzz.targets.message import (
    NOW,
    QUEUE,
    STRICT,
    arrived_as,
    assert_same,
    through_amqp,
    through_file,
)
from webhook_runner.broker.amqp.channel import Arrival, Channel
from webhook_runner.broker.amqp.message import delivery_of, due_of, moved, quarantined, queue_of
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.broker.letter import invalid_marks, letter_of, put_aside_at
from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.codec import decode
from webhook_runner.task.outgoing import request_for
from webhook_runner.task.progress import copy_key

BODY = b'{"url": "/x", "payload": [1.50], "eta": "2026-02-01T00:00:00Z"}'
TOPOLOGY = Topology("wr.v1", ("q",))


def check(data: bytes) -> None:
    try:
        _, headers = amqp_decode.field_table(struct.pack(">I", len(data)) + data)
    except Exception:  # noqa: BLE001 - no broker sends such a frame
        return
    arrival = arrived(headers)
    delivery = delivery_of(arrival, "q", ours=True)
    due_of(arrival), queue_of(arrival), copy_key(delivery.message.headers)
    letter_of(delivery.message), put_aside_at(delivery.message)
    for outgoing in (
        quarantined(delivery, invalid_marks("q", "bad", "wr-id: x"), TOPOLOGY, NOW),
        moved(arrival, "e", "k", {"wr-due": 1}),
    ):
        assert arrived_as(outgoing)[1] == BODY
    try:
        decoded = decode(delivery.message, "q", now=NOW, rules=STRICT, make_id=lambda: "made")
    except InvalidTaskError:
        return
    assert_same(decoded.envelope, through_file(decoded.envelope))
    assert_same(decoded.envelope, through_amqp(decoded.envelope))
    with suppress(InvalidTaskError):
        request_for(decoded.envelope, QUEUE, "http://h", version="1")


def arrived(headers: object) -> Arrival:
    return Arrival(
        channel=cast("Channel", None),
        tag=1,
        redelivered=True,
        exchange="e",
        key="k",
        body=BODY,
        headers=cast("dict[str, object]", headers),
        content_type="application/json",
        content_encoding="",
        correlation_id="",
        message_id="",
        timestamp=None,
        persistent=True,
        expiration=False,
    )
