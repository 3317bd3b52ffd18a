"""What every broker does as a board: notices outlive the daemon, words do not."""

import asyncio
from dataclasses import dataclass

from tests.contract.rig import Rig
from tests.parts.running_broker import Heard
from webhook_runner.ports import Delivery
from webhook_runner.task.notice import Notice

MANY = 5000
AT = 1_900_000_000.125


def note(key: str, word: bytes = b"{}", later: int = 0) -> Notice:
    return Notice(key, AT + later, word)


def last_words(heard: Heard) -> dict[str, bytes]:
    """Return what holds for each key after all that was recalled."""
    return {notice.key: notice.word for notice in heard.notices}


async def test_what_is_posted_is_recalled_where_it_was_posted(steered: Rig) -> None:
    await steered.board.recalled()
    posted = note("task:a", b'{"run": 1}')
    await steered.board.post([posted])
    await steered.heard.until(posted)
    assert steered.heard.notices == [posted]


async def test_what_is_posted_is_recalled_by_the_next_oldest_first(lasting_steered: Rig) -> None:
    first, second = note("task:a", b"\x00\xff"), note("queue:\N{SNOWMAN}", b"", 1)
    await lasting_steered.board.post([first])
    await lasting_steered.board.post([second])
    await lasting_steered.at_work.stop()
    async with lasting_steered.successor() as following:
        await following.broker.recalled()
        assert following.heard.said == [first, second]


async def test_the_order_is_that_of_the_posts_whatever_their_clocks_say(
    lasting_steered: Rig,
) -> None:
    late, early = note("queue:late", later=9), note("queue:early")
    await lasting_steered.board.post([late, early])
    await lasting_steered.at_work.stop()
    async with lasting_steered.successor() as following:
        await following.broker.recalled()
        assert following.heard.notices == [late, early]


async def test_a_later_notice_takes_the_place_of_an_earlier(lasting_steered: Rig) -> None:
    earlier, other = note("queue:q", b"earlier"), note("task:a", b"other", 1)
    later = note("queue:q", b"later", 2)
    for each in (earlier, other, later):
        await lasting_steered.board.post([each])
    await lasting_steered.heard.until(later)
    assert lasting_steered.heard.notices == [earlier, other, later]
    await lasting_steered.at_work.stop()
    async with lasting_steered.successor() as following:
        await following.broker.recalled()
        assert last_words(following.heard) == {"queue:q": b"later", "task:a": b"other"}
        assert following.heard.notices[-2:] == [other, later]


@dataclass(slots=True, eq=False)
class Witness:
    """A consumer that notes how much had been recalled before the first delivery."""

    heard: Heard
    recalled: int = -1

    def receive(self, delivery: Delivery) -> None:
        if delivery.redeliveries and self.recalled < 0:
            self.recalled = len(self.heard.said)

    def take_now(self, delivery: Delivery) -> bool:
        self.receive(delivery)
        return True


async def test_nothing_is_handed_over_before_the_recall(lasting_steered: Rig) -> None:
    """The consumer is there before the connection, as after every reconnect."""
    posted = [note(f"task:{number}") for number in range(100)]
    await lasting_steered.board.post(posted)
    await lasting_steered.enqueue("t1")
    recorder = await lasting_steered.consuming(settles=False)
    await recorder.until(1)
    witness = Witness(lasting_steered.heard)
    await lasting_steered.broker.consume("q", witness, 10)
    await lasting_steered.heard.until(posted[-1])
    before = len(lasting_steered.heard.said)
    await lasting_steered.lose_connection()
    while witness.recalled < 0:  # noqa: ASYNC110 - a broker tells nobody
        await asyncio.sleep(0.01)
    again = lasting_steered.heard.notices[before : witness.recalled]
    assert {notice.key for notice in again} in (set(), {notice.key for notice in posted})
    assert last_words(lasting_steered.heard) == {each.key: each.word for each in posted}


async def test_a_successor_recalls_before_it_hands_over(lasting_steered: Rig) -> None:
    posted = [note(f"task:{number}") for number in range(300)]
    await lasting_steered.board.post(posted)
    await lasting_steered.enqueue("t1")
    await lasting_steered.at_work.stop()
    async with lasting_steered.successor() as following:
        recorder = await following.consuming("q")
        await recorder.until(1)
        assert following.heard.said == posted


async def test_a_word_is_heard_after_what_was_posted_before(steered: Rig) -> None:
    said: list[Notice | bytes] = []
    for number in range(20):
        said += [note(f"task:{number}"), b"word %d" % number, b"again %d" % number]
        await steered.board.post([note(f"task:{number}")])
        await steered.board.call(b"word %d" % number)
        await steered.board.call(b"again %d" % number)
    await steered.heard.until(*said)
    assert steered.heard.words == [each for each in said if isinstance(each, bytes)]
    assert steered.heard.notices == [each for each in said if isinstance(each, Notice)]
    places = {each: place for place, each in enumerate(steered.heard.said)}
    for number in range(20):
        assert places[note(f"task:{number}")] < places[b"word %d" % number]


async def test_words_are_not_kept(lasting_steered: Rig) -> None:
    await lasting_steered.board.call(b"before")
    await lasting_steered.heard.until(b"before")
    await lasting_steered.at_work.stop()
    async with lasting_steered.successor() as following:
        await following.broker.recalled()
        await following.broker.call(b"after")
        await following.heard.until(b"after")
        assert following.heard.said == [b"after"]


async def test_a_word_of_many_bytes_is_heard_whole(steered: Rig) -> None:
    word = bytes(range(256)) * 1000
    await steered.board.call(word)
    await steered.heard.until(word)


async def test_many_notices_are_kept_and_recalled_in_order(lasting_steered: Rig) -> None:
    posted = [note(f"task:{number}", b"%d" % number) for number in range(MANY)]
    half = MANY // 2
    await asyncio.gather(
        lasting_steered.board.post(posted[:half]), lasting_steered.board.post(posted[half:])
    )
    await lasting_steered.at_work.stop()
    async with lasting_steered.successor() as following:
        await following.broker.recalled()
        heard = following.heard.notices
        assert [each for each in heard if each in set(posted[:half])] == posted[:half]
        assert sorted(heard, key=lambda each: int(each.word)) == posted


async def test_nothing_to_post_is_posted_at_once(steered: Rig) -> None:
    await steered.board.post([])
    await steered.board.call(b"next")
    await steered.heard.until(b"next")
    assert steered.heard.said == [b"next"]


async def test_posts_go_on_through_lost_connections(lasting_steered: Rig) -> None:
    posted = [note(f"task:{number}", b"%d" % number) for number in range(200)]
    posting = [asyncio.ensure_future(lasting_steered.board.post([each])) for each in posted]
    await lasting_steered.lose_connection()
    await asyncio.gather(*posting)
    await lasting_steered.board.recalled()
    await lasting_steered.heard.until(*posted)
    assert last_words(lasting_steered.heard) == {each.key: each.word for each in posted}
    await lasting_steered.at_work.stop()
    async with lasting_steered.successor() as following:
        await following.broker.recalled()
        assert last_words(following.heard) == {each.key: each.word for each in posted}
