"""What follows a message takes its place in the queue file, in one transaction."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.broker.batches import NOW, ack, claim, give_back, names, publish
from webhook_runner.broker.sqlite.batch import AT_ONCE, Entry, Letter
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.settings import MEMORY

FIRST = Entry("q", "{}", b"first")


def following(replaced: int, due: int = AT_ONCE) -> Entry:
    return Entry("q", "{}", b"follower", due=due, replaces=replaced)


FOLLOWERS: dict[str, Callable[[int], Entry | Letter]] = {
    "enqueued": following,
    "parked": lambda replaced: following(replaced, NOW + 1),
    "buried": lambda replaced: Letter(following(replaced), NOW, is_dead=True),
}


@pytest.mark.parametrize("how", FOLLOWERS)
def test_what_follows_a_message_takes_its_place(tmp_path: Path, how: str) -> None:
    path = str(tmp_path / "queue.db")
    file = QueueFile.open(path)
    publish(file, FIRST, Entry("q", "{}", b"other"))
    first, other = claim(file).rows
    publish(file, FOLLOWERS[how](first.id))
    file.close()

    again = QueueFile.open(path)
    found = {row.body: row.deliveries for row in claim(again, now=NOW + 1).rows}
    again.close()

    assert found.pop(b"follower", 0) == 0
    assert found == {other.body: 1}


def test_settling_what_was_replaced_changes_nothing() -> None:
    file = QueueFile.open(MEMORY)
    publish(file, FIRST)
    (first,) = claim(file).rows
    publish(file, following(first.id))
    give_back(file, [first.id])
    ack(file, [first.id])
    assert names(claim(file)) == ["follower"]
    file.close()


def test_what_was_given_back_is_not_replaced() -> None:
    file = QueueFile.open(MEMORY)
    publish(file, FIRST)
    (first,) = claim(file).rows
    give_back(file, [first.id], counted=False)
    publish(file, following(first.id))
    assert names(claim(file)) == ["first", "follower"]
    file.close()
