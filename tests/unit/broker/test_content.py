"""Properties of messages: what is read by hand is what the codec reads."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from webhook_runner.broker.amqp.blanking import UNREADABLE
from webhook_runner.broker.amqp.content import properties_of, read_content

NESTED = 20_000
SHORT = st.text(max_size=60)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
VALUES = SHORT | NUMBERS | st.booleans() | st.none() | st.floats(allow_nan=False, width=32)
TABLES = st.dictionaries(SHORT, VALUES | st.lists(VALUES, max_size=2), max_size=4)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": SHORT,
        "content_encoding": SHORT,
        "headers": TABLES,
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.integers(0, 9),
        "correlation_id": SHORT,
        "reply_to": SHORT,
        "expiration": SHORT,
        "message_id": SHORT,
        "timestamp": st.integers(0, 2**32 + 5).map(lambda at: datetime.fromtimestamp(at, UTC)),
        "app_id": SHORT,
    },
)


def packed(size: int = 0, **properties: Any) -> bytes:
    return ContentHeader(0, size, Basic.Properties(**properties)).marshal()


def by_the_codec(payload: bytes) -> tuple[int, object]:
    header = ContentHeader()
    header.unmarshal(payload)
    return header.body_size, properties_of(header.properties)


@given(st.integers(0, 2**64 - 1), PROPERTIES)
def test_what_is_read_by_hand_is_what_the_codec_reads(size: int, properties: Any) -> None:
    payload = packed(size, **properties)
    assert read_content(payload) == by_the_codec(payload)


@given(st.data(), PROPERTIES)
def test_what_is_broken_is_read_as_the_codec_reads_it_or_blanked(
    data: Any, properties: Any
) -> None:
    whole = bytearray(packed(5, **properties))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(12, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    payload = bytes(whole)
    try:
        expected = by_the_codec(payload)
    except UNREADABLE:
        assert read_content(payload)[0] == 5
    else:
        assert read_content(payload) == expected


def test_an_absurd_timestamp_harms_only_itself() -> None:
    payload = packed(message_id="m", content_type="t", timestamp=datetime.fromtimestamp(1, UTC))
    absurd = payload[:-8] + struct.pack(">Q", 2**63)
    assert read_content(absurd) == read_content(packed(message_id="m", content_type="t"))


def test_a_text_that_is_none_blanks_all_properties() -> None:
    payload = packed(7, message_id="m", content_type="text")
    assert read_content(payload.replace(b"text", b"t\xffxt")) == read_content(packed(7))


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_tables_within_tables_without_end_are_blanked(kind: bytes) -> None:
    inner = b""
    for _ in range(NESTED):
        value = kind + struct.pack(">I", len(inner)) + inner
        inner = b"\x01k" + value if kind == b"F" else value
    if kind == b"A":
        inner = b"\x01k" + inner
    payload = struct.pack(">HHQHI", 60, 0, 3, 0x2000, len(inner)) + inner
    assert read_content(payload) == read_content(packed(3))
