"""Streams in pieces of any size, without a socket."""

import pytest

from webhook_runner.client.stream import Lines, ServerEvent, ServerEvents

STREAM = (
    b": a comment\r\nid: 1\r\nevent: task.ready\r\ndata: {\r\ndata:}\r\n\r\n"
    b"event: nothing\n\nretry: 5\ndata: x\rid\r\rdata: cut off"
)
EVENTS = [ServerEvent("task.ready", b"{\n}", "1"), ServerEvent("message", b"x", "")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_however_they_are_cut(size: int) -> None:
    reader = ServerEvents("0")
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [event for piece in pieces for event in reader.feed(piece)] == EVENTS


def test_the_last_id_is_kept_from_stream_to_stream() -> None:
    assert ServerEvents("e7").feed(b"data: x\n\n") == [ServerEvent("message", b"x", "e7")]


def test_lines_end_in_lf_cr_or_both() -> None:
    lines = Lines()
    assert lines.feed(b"a\r") == []
    assert lines.feed(b"\nb\rc\nd") == [b"a", b"b", b"c"]
    assert lines.feed(b"\n") == [b"d"]
