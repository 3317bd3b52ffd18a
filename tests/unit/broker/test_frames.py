"""The hand-packed frames say what the library's own codec reads."""

import pamqp.frame
import pytest
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from webhook_runner.broker.amqp import frames


def read(packed: bytes) -> list[object]:
    found: list[object] = []
    while packed:
        used, channel, frame = pamqp.frame.unmarshal(packed)
        assert channel == 7
        found.append(frame)
        packed = packed[used:]
    return found


def test_an_ack_names_one_delivery() -> None:
    (ack,) = read(frames.ack(7, 2**40))
    assert isinstance(ack, Basic.Ack)
    assert (ack.delivery_tag, ack.multiple) == (2**40, False)


def test_giving_back_requeues_one_delivery() -> None:
    (nack,) = read(frames.give_back(7, 3))
    assert isinstance(nack, Basic.Nack)
    assert (nack.delivery_tag, nack.multiple, nack.requeue) == (3, False, True)


def test_a_publish_is_mandatory() -> None:
    (publish,) = read(frames.publish(7, "wr.v1.wait", "0.63"))
    assert isinstance(publish, Basic.Publish)
    assert (publish.exchange, publish.routing_key) == ("wr.v1.wait", "0.63")
    assert publish.mandatory
    assert not publish.immediate


@pytest.mark.parametrize("size", [0, 1, 100, 101, 1000])
def test_a_body_is_cut_into_frames_that_fit(size: int) -> None:
    body = bytes(range(256)) * 4
    header, *bodies = read(frames.content(7, body[:size], {}, message_id="m", largest=100))
    assert isinstance(header, ContentHeader)
    assert header.body_size == size
    pieces = [piece.value for piece in bodies if isinstance(piece, ContentBody)]
    assert b"".join(pieces) == body[:size]
    assert all(len(piece) <= 100 for piece in pieces)


def test_properties_and_headers_are_read_as_they_were_given() -> None:
    headers = {"s": "späß", "i": -5, "big": 2**62, "b": True, "f": 1.5, "huge": 2**70}
    packed = frames.content(
        7,
        b"x",
        headers,
        message_id="m1",
        content_type="application/json",
        content_encoding="utf-8",
        correlation_id="c" * 300,
        timestamp=1_700_000_000.9,
        largest=1000,
    )
    header = read(packed)[0]
    assert isinstance(header, ContentHeader)
    found = header.properties
    assert found.headers == headers | {"huge": str(2**70)}
    assert (found.message_id, found.delivery_mode) == ("m1", 2)
    assert (found.content_type, found.content_encoding) == ("application/json", "utf-8")
    assert found.correlation_id == "c" * 255
    assert found.timestamp is not None
    assert found.timestamp.timestamp() == 1_700_000_000
