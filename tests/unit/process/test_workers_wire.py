"""What parent and worker tell each other arrives, however the stream is cut."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.store_rig import attempt, change
from webhook_runner.process.workers.line import HIGH_WATER, Line
from webhook_runner.process.workers.settings_text import read, written
from webhook_runner.process.workers.wire import (
    FROM_WORKER,
    TO_WORKER,
    Answer,
    FromWorker,
    Kept,
    Lines,
    Missed,
    Noted,
    Reader,
    ToWorker,
    frame,
)
from webhook_runner.settings import QueueSettings, Settings
from webhook_runner.task.record import RollbackEnded, RollbackState

SAID: list[FromWorker] = [
    Noted(1, [change(), change(name="ü" * 300)], [attempt()], [], [("key", 1, True)]),
    Lines("a line\n"),
    Missed(),
    Noted(2, [], [], [RollbackEnded("t", 1, RollbackState.FAILED)], []),
]


@given(st.lists(st.integers(0, 10_000)), st.lists(st.sampled_from(SAID), max_size=8))
def test_messages_arrive_whole_wherever_the_stream_is_split(
    cuts: list[int], said: list[FromWorker]
) -> None:
    stream = b"".join(frame(each) for each in said)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = Reader(FROM_WORKER)
    found: list[FromWorker] = []
    for start, end in pairwise(places):
        found += reader.feed(stream[start:end])

    assert found == said


@pytest.mark.parametrize("bytes_", [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", frame(Kept(1))])
def test_what_is_no_message_of_a_worker_is_an_error(bytes_: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        list(Reader(FROM_WORKER).feed(bytes_ + frame(Missed())))


def test_settings_are_the_same_after_their_way() -> None:
    queue = QueueSettings(rate=0.1, success_codes="200,202-204", schedule=[1, 2.5])  # type: ignore[arg-type]
    settings = Settings(
        server=("amqp://a/", "amqp://b/"), queues={"a": queue, "b-1": QueueSettings()}
    )

    assert read(written(settings)) == settings


@asynccontextmanager
async def pair(heard: list[ToWorker]) -> AsyncIterator[tuple[Line[ToWorker], Line[FromWorker]]]:
    """Give both ends; the worker's hears into a list."""
    ours, theirs = socket.socketpair()
    worker: Line[ToWorker] = Line(TO_WORKER, heard.append)
    parent: Line[FromWorker] = Line(FROM_WORKER, lambda _: None)
    await asyncio.gather(worker.open(theirs), parent.open(ours))
    try:
        yield worker, parent
    finally:
        await asyncio.gather(worker.close(), parent.close())
        parent.go_on()
        worker.go_on()
        await asyncio.wait_for(asyncio.gather(worker.lost.wait(), parent.lost.wait()), 10)


async def test_the_end_of_one_is_noticed_by_the_other_after_its_last_word() -> None:
    heard: list[ToWorker] = []
    async with pair(heard) as (worker, parent):
        parent.send(Kept(7))
        await parent.close()
        await asyncio.wait_for(worker.lost.wait(), 10)
        worker.send(Missed())  # to nobody
    assert heard == [Kept(7)]


async def test_one_who_talks_nonsense_is_hung_up_on() -> None:
    ours, theirs = socket.socketpair()
    line: Line[ToWorker] = Line(TO_WORKER, lambda _: None)
    await line.open(theirs)
    with ours:
        ours.sendall(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.wait_for(line.lost.wait(), 10)


async def test_who_is_not_read_is_full_and_has_room_again_later() -> None:
    heard: list[ToWorker] = []
    roomy = asyncio.Event()
    large = Answer(1, msgspec.Raw(msgspec.msgpack.encode(b"x" * HIGH_WATER)))
    async with pair(heard) as (worker, parent):
        parent.on_room = roomy.set
        worker.hold()
        parent.send(large)
        parent.send(large)
        assert parent.is_full
        worker.go_on()
        await asyncio.wait_for(roomy.wait(), 10)
        assert not parent.is_full
    assert len(heard) == 2
