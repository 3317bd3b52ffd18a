"""What follows a message takes its place in the queue file, in one transaction."""

import asyncio
from pathlib import Path

import pytest

from webhook_runner.broker.batch import Ack, Batch, Claim, Entry, Letter, Publish, Return, Row
from webhook_runner.broker.queue_file import QueueFile
from webhook_runner.broker.queue_schema import MEMORY

NOW = 1_000


async def write(file: QueueFile, *publishes: Publish) -> None:
    wait = asyncio.get_running_loop().create_future
    file.write(Batch(publishes={wait(): each for each in publishes}))


async def claim(file: QueueFile) -> list[Row]:
    asked = asyncio.get_running_loop().create_future()
    (found,) = file.write(Batch(claims={asked: Claim("q", NOW, 100)}))
    return found.rows


FOLLOWERS = [
    Entry("q", "{}", b"follower"),
    Entry("q", "{}", b"follower", due=NOW + 1),
    Letter(Entry("q", "{}", b"follower"), NOW, is_dead=True),
]


@pytest.mark.parametrize("follower", FOLLOWERS, ids=["enqueued", "parked", "buried"])
async def test_what_follows_a_message_takes_its_place(tmp_path: Path, follower: Publish) -> None:
    path = str(tmp_path / "queue.db")
    file = QueueFile.open(path)
    await write(file, Entry("q", "{}", b"first"), Entry("q", "{}", b"other"))
    first, other = await claim(file)
    match follower:
        case Entry(queue, headers, body, properties, due):
            following: Publish = Entry(queue, headers, body, properties, due, first.id)
        case Letter(Entry(queue, headers, body), at, is_dead):
            following = Letter(Entry(queue, headers, body, replaces=first.id), at, is_dead)
    await write(file, following)
    file.close()

    again = QueueFile.open(path)
    found = {row.body: row.deliveries for row in await claim(again)}
    again.close()

    assert found.pop(b"follower", 0) == 0
    assert found == {other.body: 1}


async def test_settling_what_was_replaced_changes_nothing() -> None:
    file = QueueFile.open(MEMORY)
    await write(file, Entry("q", "{}", b"first"))
    (first,) = await claim(file)
    await write(file, Entry("q", "{}", b"follower", replaces=first.id))
    wait = asyncio.get_running_loop().create_future
    file.write(Batch(settles={wait(): Return(first.id, counted=True), wait(): Ack(first.id)}))
    assert [row.body for row in await claim(file)] == [b"follower"]
    file.close()


async def test_what_was_given_back_is_not_replaced() -> None:
    file = QueueFile.open(MEMORY)
    await write(file, Entry("q", "{}", b"first"))
    (first,) = await claim(file)
    wait = asyncio.get_running_loop().create_future
    file.write(Batch(settles={wait(): Return(first.id, counted=False)}))
    await write(file, Entry("q", "{}", b"follower", replaces=first.id))
    assert [row.body for row in await claim(file)] == [b"first", b"follower"]
    file.close()
