"""Batches for the queue file without an event loop, and what is in it afterwards."""

from asyncio import Future
from collections.abc import Iterable
from typing import Any, cast

from webhook_runner.broker.sqlite.batch import (
    Ack,
    Batch,
    Claim,
    Claimed,
    Drop,
    Entry,
    Letter,
    Publish,
    Purge,
    Removal,
    Return,
    Settle,
)
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.task.notice import Notice

NOW = 1_800_000_000_000
Write = Publish | Settle | Claim | Removal | Notice


def entry(name: str, due: int = 0, queue: str = "q") -> Entry:
    return Entry(queue, "{}", name.encode(), due=due)


def batch(*writes: Write) -> Batch:
    made = Batch()
    for each in writes:
        key: Any = cast("Future[Any]", object())
        match each:
            case Entry() | Letter():
                made.publishes[key] = each
            case Ack() | Return():
                made.settles[key] = each
            case Claim():
                made.claims[key] = each
            case Drop() | Purge():
                made.removals[key] = each
            case Notice():
                made.posts[key] = (each,)
    return made


def publish(file: QueueFile, *entries: Entry | Letter) -> None:
    file.write(batch(*entries))


def claim(file: QueueFile, most: int = 100, now: int = NOW, queue: str = "q") -> Claimed:
    (claimed,) = file.write(batch(Claim(queue, now, most))).claimed
    return claimed


def ack(file: QueueFile, ids: Iterable[int]) -> None:
    file.write(batch(*(Ack(number) for number in ids)))


def give_back(file: QueueFile, ids: Iterable[int], *, counted: bool = True) -> None:
    file.write(batch(*(Return(number, counted) for number in ids)))


def names(claimed: Claimed) -> list[str]:
    return [row.body.decode() for row in claimed.rows]
