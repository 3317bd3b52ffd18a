"""What every broker does while it takes no publishes: they wait, acks go on, nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.contract.rig import Rig
from tests.parts.running_broker import until
from webhook_runner.task.event import BrokerBlocked, BrokerUnblocked

# More than the acks of what is small make room for.
LARGE = b'{"url": "http://a.example", "payload": "' + b"x" * 1_000_000 + b'"}'


@asynccontextmanager
async def blocked(rig: Rig) -> AsyncIterator[asyncio.Future[None]]:
    """Block the broker, and let one publish find that out; that one is yielded."""
    await rig.block()
    try:
        envelope = rig.at_work.envelope("large", "other", body=LARGE)
        waiting = asyncio.ensure_future(rig.broker.enqueue(envelope))
        await until(lambda: bool(rig.broker.state().blocked), "blocked")
        yield waiting
    finally:
        await rig.unblock()
    if not waiting.cancelled():
        await waiting


async def test_publishes_wait_while_the_broker_is_blocked_and_go_on_by_themselves(
    rig: Rig,
) -> None:
    async with blocked(rig) as large:
        assert rig.broker.state().connected
        (told,) = await rig.at_work.notes.until(BrokerBlocked)
        assert told.reason == rig.broker.state().blocked
        publishes = [
            large,
            asyncio.ensure_future(rig.broker.park(rig.at_work.envelope("p", "q", body=LARGE))),
            asyncio.ensure_future(rig.broker.bury(rig.at_work.envelope("b", "q", body=LARGE), b"")),
        ]
        writable = asyncio.ensure_future(rig.broker.writable())
        await asyncio.wait([*publishes, writable], timeout=1.5)
        assert not any(each.done() for each in (*publishes, writable))
    await asyncio.gather(*publishes, writable)
    assert rig.broker.state().blocked == ""
    assert len(rig.at_work.notes.of(BrokerUnblocked)) == 1
    here, there = await rig.consuming(), await rig.at_work.consuming("other")
    await here.until_ids(["p"])
    await there.until_ids(["large"])
    assert [kept.body for kept in await rig.dead("q")] == [LARGE]


async def test_what_is_in_hand_can_be_acked_while_the_broker_is_blocked(rig: Rig) -> None:
    recorder = await rig.consuming(settles=False)
    await rig.enqueue("t1", "t2")
    first, second = await recorder.until(2)
    async with blocked(rig) as large:
        async with asyncio.timeout(20):
            assert await rig.broker.ack(first.delivery) is True
            await rig.broker.release(second.delivery)
            await recorder.until(3)
        assert not large.done()
    assert [taken.id for taken in recorder.taken] == ["t1", "t2", "t2"]


async def test_what_was_acked_while_the_broker_was_blocked_does_not_come_again(
    lasting: Rig,
) -> None:
    recorder = await lasting.consuming(settles=False)
    await lasting.enqueue("t1", "t2")
    first, _ = await recorder.until(2)
    async with blocked(lasting):
        assert await lasting.broker.ack(first.delivery) is True
    await lasting.lose_connection()
    await recorder.until(3)
    await lasting.enqueue("t3")
    await recorder.until_ids(["t3"])
    assert [taken.id for taken in recorder.taken] == ["t1", "t2", "t2", "t3"]


async def test_a_publish_that_waits_for_room_outlives_a_lost_connection(lasting: Rig) -> None:
    await lasting.enqueue("t1")
    async with blocked(lasting) as large:
        await lasting.lose_connection()
    await large
    await (await lasting.at_work.consuming("other")).until(1)
    await (await lasting.consuming()).until_ids(["t1"])


async def test_a_publish_given_up_while_the_broker_is_blocked_is_not_made(rig: Rig) -> None:
    async with blocked(rig):
        envelope = rig.at_work.envelope("given-up", "q", body=LARGE)
        waiting = asyncio.ensure_future(rig.broker.enqueue(envelope))
        await asyncio.wait([waiting], timeout=1.5)
        waiting.cancel()
        await asyncio.wait([waiting])
    recorder = await rig.consuming()
    await rig.enqueue("t1")
    await recorder.until_ids(["t1"])
    assert recorder.ids == {"t1"}


async def test_a_broker_that_has_room_again_is_unblocked_without_a_publish(rig: Rig) -> None:
    async with blocked(rig) as large:
        large.cancel()
        await asyncio.wait([large])
    await asyncio.wait_for(rig.broker.writable(), 20)
    assert rig.broker.state().blocked == ""
