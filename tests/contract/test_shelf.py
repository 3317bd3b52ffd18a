"""What every broker does as a shelf: what was put aside can be looked at, and removed."""

import asyncio
import json

import pytest

from tests.contract.rig import Rig
from tests.parts.running_broker import PATIENCE
from webhook_runner.task.notice import Aside, Depths, PutAside

NAMES = [f"t{number}" for number in range(12)]
SUMMARY = json.dumps({"outcome": "answered", "status": 500}).encode()


async def bury(rig: Rig, *names: str, queue: str = "q") -> None:
    for name in names:
        body = b'{"url":  "http://a.example/%s"}' % name.encode()
        await rig.broker.bury(rig.at_work.envelope(name, queue, body=body), SUMMARY)


async def quarantine(rig: Rig, *bodies: bytes) -> None:
    recorder = await rig.consuming(settles=False)
    for body in bodies:
        await rig.submit("q", body, message_id="their-id")
    for taken in await recorder.until(len(bodies)):
        await rig.broker.quarantine(
            taken.delivery, "not_json", "payload.x: is no JSON", "payload.x"
        )
        await rig.broker.ack(taken.delivery)
    await rig.broker.stop_consuming("q")


async def walked(rig: Rig, aside: Aside = Aside.DEAD, queue: str = "q") -> list[PutAside]:
    async with rig.shelf.walk(aside, queue) as letters:
        return [each async for each in letters]


def ids(letters: list[PutAside]) -> list[object]:
    return [each.message.headers["wr-id"] for each in letters]


async def until_depths(rig: Rig, *, ready: int = 0, dead: int = 0, invalid: int = 0) -> Depths:
    """Wait until so many are counted; a broker may count a little late."""
    async with asyncio.timeout(PATIENCE):
        while True:
            depths = await rig.shelf.depths("q")
            if (depths.ready, depths.dead, depths.invalid) == (ready, dead, invalid):
                return depths
            await asyncio.sleep(0.05)


async def test_a_dead_letter_is_shown_with_its_bytes_and_its_end(steered: Rig) -> None:
    before = int(steered.at_work.clock.now() * 1000) / 1000 - 0.001
    await bury(steered, "t1")
    (letter,) = await walked(steered)
    assert (letter.aside, letter.queue) == (Aside.DEAD, "q")
    assert letter.message.body == b'{"url":  "http://a.example/t1"}'
    assert letter.message.headers["wr-id"] == "t1"
    assert letter.message.headers["wr-summary"] == SUMMARY.decode()
    assert before <= letter.at <= steered.at_work.clock.now() + 0.001
    assert letter.letter


async def test_an_invalid_message_is_shown_with_its_bytes_and_the_reason(steered: Rig) -> None:
    await quarantine(steered, b"no JSON \xff", b"nor this")
    await until_depths(steered, invalid=2)
    first, second = await walked(steered, Aside.INVALID)
    assert (first.message.body, second.message.body) == (b"no JSON \xff", b"nor this")
    headers = first.message.headers
    assert (headers["wr-error"], headers["wr-source"]) == ("not_json", "q")
    assert (headers["wr-field"], headers["wr-explanation"]) == (
        "payload.x",
        "payload.x: is no JSON",
    )
    assert first.message.message_id == "their-id"
    assert await walked(steered, Aside.DEAD) == []


async def test_letters_are_walked_oldest_first_and_named_the_same_each_time(steered: Rig) -> None:
    await bury(steered, *NAMES)
    await bury(steered, "elsewhere", queue="other")
    first, again = await walked(steered), await walked(steered)
    assert ids(first) == ids(again) == NAMES
    names = [each.letter for each in first]
    assert len(set(names)) == len(NAMES)
    assert [each.letter for each in again] == names
    assert [each.at for each in again] == [each.at for each in first]
    assert ids(await walked(steered, queue="other")) == ["elsewhere"]


async def test_what_is_removed_within_a_walk_is_gone_and_nothing_else(steered: Rig) -> None:
    await bury(steered, *NAMES)
    names = {each.message.headers["wr-id"]: each.letter for each in await walked(steered)}
    gone = {"t0", "t5", "t11"}
    async with steered.shelf.walk(Aside.DEAD, "q") as letters:
        async for each in letters:
            if each.message.headers["wr-id"] in gone:
                await steered.shelf.remove(each)
    left = await walked(steered)
    assert ids(left) == [name for name in NAMES if name not in gone]
    assert all(names[each.message.headers["wr-id"]] == each.letter for each in left)
    await until_depths(steered, dead=len(NAMES) - len(gone))


async def test_several_are_removed_at_once(steered: Rig) -> None:
    await bury(steered, *NAMES)
    async with steered.shelf.walk(Aside.DEAD, "q") as letters:
        found = [each async for each in letters]
        await asyncio.gather(*(steered.shelf.remove(each) for each in found[1:]))
    assert ids(await walked(steered)) == NAMES[:1]


async def test_a_walk_left_by_an_exception_leaves_the_rest_where_it_was(steered: Rig) -> None:
    async def stumble() -> None:
        async with steered.shelf.walk(Aside.DEAD, "q") as letters:
            async for each in letters:
                if each.message.headers["wr-id"] == "t4":
                    raise RuntimeError("in the middle")
                await steered.shelf.remove(each)

    await bury(steered, *NAMES)
    with pytest.raises(RuntimeError, match="in the middle"):
        await stumble()
    assert ids(await walked(steered)) == NAMES[4:]
    await until_depths(steered, dead=len(NAMES) - 4)


async def test_a_walk_left_early_leaves_the_rest_where_it_was(steered: Rig) -> None:
    await bury(steered, *NAMES)
    async with steered.shelf.walk(Aside.DEAD, "q") as letters:
        async for each in letters:
            assert each.message.headers["wr-id"] == "t0"
            break
    assert ids(await walked(steered)) == NAMES


async def test_a_letter_that_comes_while_a_walk_runs_is_not_lost(steered: Rig) -> None:
    await bury(steered, "t0", "t1", "t2")
    seen: list[object] = []
    async with steered.shelf.walk(Aside.DEAD, "q") as letters:
        async for each in letters:
            seen.append(each.message.headers["wr-id"])
            if len(seen) == 1:
                await bury(steered, "t3")
    assert seen[:3] == ["t0", "t1", "t2"]
    assert ids(await walked(steered)) == ["t0", "t1", "t2", "t3"]


async def test_a_walk_ends_whatever_is_put_aside_meanwhile(steered: Rig) -> None:
    await bury(steered, "t0", "t1")
    count = 0
    async with steered.shelf.walk(Aside.DEAD, "q") as letters:
        async for each in letters:
            count += 1
            await steered.broker.bury(steered.at_work.envelope(f"more-{count}", "q"), b"{}")
            await steered.shelf.remove(each)
            assert count < 1000
    assert len(await walked(steered)) >= 1


async def test_many_large_letters_are_walked(steered: Rig) -> None:
    names = [f"large-{number}" for number in range(250)]
    body = b'{"url": "http://a.example", "payload": "%s"}' % (b"x" * 20_000)
    await asyncio.gather(
        *(steered.broker.bury(steered.at_work.envelope(n, "q", body=body), b"{}") for n in names)
    )
    letters = await walked(steered)
    assert sorted(map(str, ids(letters))) == sorted(names)
    assert {each.message.body for each in letters} == {body}


async def test_all_that_was_put_aside_is_cleared_and_counted(steered: Rig) -> None:
    await bury(steered, *NAMES)
    await bury(steered, "elsewhere", queue="other")
    await quarantine(steered, b"no JSON")
    await until_depths(steered, dead=len(NAMES), invalid=1)
    assert await steered.shelf.clear(Aside.DEAD, "q") == len(NAMES)
    await until_depths(steered, invalid=1)
    assert await walked(steered) == []
    assert await steered.shelf.clear(Aside.DEAD, "q") == 0
    assert await steered.shelf.clear(Aside.INVALID, "q") == 1
    assert ids(await walked(steered, queue="other")) == ["elsewhere"]


async def test_what_was_removed_stays_removed(lasting_steered: Rig) -> None:
    await bury(lasting_steered, *NAMES)
    async with lasting_steered.shelf.walk(Aside.DEAD, "q") as letters:
        async for each in letters:
            if each.message.headers["wr-id"] != "t7":
                await lasting_steered.shelf.remove(each)
    (left,) = await walked(lasting_steered)
    await lasting_steered.at_work.stop()
    async with lasting_steered.successor() as following:
        async with following.broker.walk(Aside.DEAD, "q") as letters:
            (kept,) = [each async for each in letters]
        assert (kept.letter, kept.at, kept.message) == (left.letter, left.at, left.message)


async def test_what_lies_in_a_queue_is_counted(steered: Rig) -> None:
    await until_depths(steered)
    await steered.enqueue("t1", "t2", "t3")
    await steered.broker.park(steered.at_work.envelope("waits", "q", 3600.0))
    await bury(steered, "d1", "d2")
    depths = await until_depths(steered, ready=3, dead=2)
    assert depths.scheduled in (1, None)


async def test_what_is_in_hand_is_not_counted_as_ready(steered: Rig) -> None:
    recorder = await steered.consuming(prefetch=2, settles=False)
    await steered.enqueue("t1", "t2", "t3")
    await recorder.until(2)
    await until_depths(steered, ready=1)


async def test_a_purge_removes_what_is_ready_and_leaves_the_rest(steered: Rig) -> None:
    recorder = await steered.consuming(prefetch=2, settles=False)
    await steered.enqueue("t1", "t2", "t3", "t4", "t5")
    await steered.broker.park(steered.at_work.envelope("waits", "q", 3600.0))
    await recorder.until(2)
    await steered.broker.stop_consuming("q")
    await bury(steered, "dead")
    await until_depths(steered, ready=3, dead=1)
    assert await steered.shelf.purge("q") == 3
    assert (await until_depths(steered, dead=1)).scheduled in (1, None)
    for taken in recorder.taken:
        await steered.broker.release(taken.delivery)
    again = await steered.consuming()
    await again.until(2)
    assert sorted(taken.id for taken in again.taken) == ["t1", "t2"]
    assert await steered.shelf.purge("q") == 0


async def test_a_purge_of_one_queue_is_none_of_another(steered: Rig) -> None:
    await steered.enqueue("here")
    await steered.broker.enqueue(steered.at_work.envelope("there", "other"))
    await until_depths(steered, ready=1)
    assert await steered.shelf.purge("q") == 1
    there = await steered.at_work.consuming("other")
    assert [taken.id for taken in await there.until(1)] == ["there"]
