"""Bytes become frames, however they were cut; what is no AMQP is named."""

from itertools import pairwise

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from webhook_runner.broker.amqp.wire import BODY, HEADER, HEARTBEAT, METHOD, FrameError, FrameReader

LARGEST = 4096
STREAM = b"".join(
    (
        pamqp.frame.marshal(Basic.Deliver("consumer", 1, False, "exchange", "key"), 1),
        pamqp.frame.marshal(ContentHeader(0, 5, Basic.Properties(headers={"n": 1})), 1),
        pamqp.frame.marshal(ContentBody(b"one\xce\xce"), 1),
        pamqp.frame.marshal(Heartbeat(), 0),
        pamqp.frame.marshal(ContentBody(bytes(LARGEST - 8)), 2),
        pamqp.frame.marshal(Basic.Ack(7, True), 65_535),
    )
)

Frames = list[tuple[int, int, bytes]]


def read(*pieces: bytes) -> Frames:
    found: Frames = []
    reader = FrameReader(lambda *frame: found.append(frame), LARGEST)
    for piece in pieces:
        reader.feed(piece)
    return found


def test_each_frame_is_told_with_its_kind_channel_and_payload() -> None:
    found = read(STREAM)
    assert [(kind, channel) for kind, channel, _ in found] == [
        (METHOD, 1),
        (HEADER, 1),
        (BODY, 1),
        (HEARTBEAT, 0),
        (BODY, 2),
        (METHOD, 65_535),
    ]
    assert found[2][2] == b"one\xce\xce"
    assert found[4][2] == bytes(LARGEST - 8)


@given(st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_the_same_frames_come_of_any_pieces(cuts: list[int]) -> None:
    pieces = [STREAM[a:b] for a, b in pairwise((0, *cuts, len(STREAM)))]
    assert read(*pieces) == read(STREAM)


def test_the_same_frames_come_of_single_bytes() -> None:
    assert read(*(bytes((byte,)) for byte in STREAM)) == read(STREAM)


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\0\0\x09\x01", b"\4" * 7]
)
def test_what_is_no_amqp_is_refused_and_shown(data: bytes) -> None:
    with pytest.raises(FrameError, match="no AMQP: b'"):
        read(data)


def test_a_frame_without_its_end_is_refused() -> None:
    with pytest.raises(FrameError, match="without an end"):
        read(STREAM[:-1] + b"\0")


@pytest.mark.parametrize("sent", [7, LARGEST + 1])
def test_a_frame_larger_than_agreed_on_is_refused_before_it_is_complete(sent: int) -> None:
    packed = pamqp.frame.marshal(ContentBody(bytes(LARGEST - 7)), 1)
    with pytest.raises(FrameError, match=f"{LARGEST - 7} bytes, more than were agreed on"):
        read(packed[:sent])


def test_what_was_agreed_on_later_counts_from_then_on() -> None:
    found: Frames = []
    reader = FrameReader(lambda *frame: found.append(frame), LARGEST)
    reader.allow(2 * LARGEST)
    reader.feed(pamqp.frame.marshal(ContentBody(bytes(LARGEST)), 1))
    assert len(found) == 1
