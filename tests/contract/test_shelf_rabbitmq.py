"""A shelf over RabbitMQ: order, lost connections, other daemons, foreign letters."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.contract.rabbit_rig import RabbitRig, rabbitmq
from tests.parts import publisher
from tests.parts.running_broker import Running
from tests.parts.running_rabbit import running, start
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.errors import BrokerUnavailableError, UnknownQueueError
from webhook_runner.ports import Shelf
from webhook_runner.task.notice import Aside, Depths, PutAside

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(120)]

DEAD = "wr.v1.dead.q"
MANY = 3000


@pytest.fixture
async def rabbit(request: pytest.FixtureRequest) -> AsyncIterator[RabbitRig]:
    async with rabbitmq(request) as opened:
        yield opened


async def bury(at_work: Running[RabbitBroker], count: int) -> list[str]:
    """Bury so many tasks; return their names in their order."""
    names = [f"t{number:05d}" for number in range(count)]
    for start_ in range(0, count, 500):
        some = names[start_ : start_ + 500]
        await asyncio.gather(*(at_work.broker.bury(at_work.envelope(n, "q"), b"{}") for n in some))
    return names


async def walked(shelf: Shelf, aside: Aside = Aside.DEAD) -> list[PutAside]:
    async with shelf.walk(aside, "q") as letters:
        return [each async for each in letters]


def ids(letters: list[PutAside]) -> list[str]:
    return [str(each.message.headers.get("wr-id")) for each in letters]


async def test_many_letters_keep_their_order_and_stay_removed(rabbit: RabbitRig) -> None:
    """More than a channel of a quorum queue settles at a time."""
    names = await bury(rabbit.at_work, MANY)
    first = ids(await walked(rabbit.shelf))
    assert sorted(first) == names
    assert ids(await walked(rabbit.shelf)) == first
    async with rabbit.shelf.walk(Aside.DEAD, "q") as letters:
        async for each in letters:
            if not str(each.message.headers["wr-id"]).endswith("7"):
                await rabbit.shelf.remove(each)
    left = [name for name in first if name.endswith("7")]
    assert await rabbit.shelf.depths("q") == Depths(0, len(left), 0)
    assert ids(await walked(rabbit.shelf)) == left


async def test_a_connection_lost_on_a_walk_loses_no_letter(rabbit: RabbitRig) -> None:
    names = await bury(rabbit.at_work, 200)
    seen: list[str] = []

    async def walk() -> None:
        async with rabbit.shelf.walk(Aside.DEAD, "q") as letters:
            async for each in letters:
                seen.append(str(each.message.headers["wr-id"]))
                if len(seen) == 1:
                    await rabbit.shelf.remove(each)
                if len(seen) == 20:
                    await rabbit.lose_connection()

    with pytest.raises(BrokerUnavailableError):
        await walk()
    await rabbit.board.recalled()
    left = ids(await walked(rabbit.shelf))
    assert set(names) - set(left) <= {seen[0]}
    assert len(left) == len(set(left))


async def test_a_letter_cannot_be_removed_by_a_connection_that_is_gone(rabbit: RabbitRig) -> None:
    await bury(rabbit.at_work, 1)
    async with rabbit.shelf.walk(Aside.DEAD, "q") as letters:
        letter = await anext(letters)
        await rabbit.lose_connection()
        await rabbit.at_work.broker.writable()
        with pytest.raises(BrokerUnavailableError):
            await rabbit.shelf.remove(letter)
    await rabbit.board.recalled()
    assert ids(await walked(rabbit.shelf)) == ["t00000"]


async def test_whoever_walks_gives_back_however_often_cancelled(rabbit: RabbitRig) -> None:
    names = await bury(rabbit.at_work, 100)
    under_way: asyncio.Future[PutAside] = asyncio.get_running_loop().create_future()

    async def linger() -> None:
        async with rabbit.shelf.walk(Aside.DEAD, "q") as letters:
            first = await anext(letters)
            await rabbit.shelf.remove(first)
            under_way.set_result(first)
            await asyncio.Event().wait()

    walking = asyncio.ensure_future(linger())
    removed = await under_way
    while not walking.done():
        walking.cancel()
        await asyncio.sleep(0)
    assert sorted(ids([*await walked(rabbit.shelf), removed])) == names


async def test_walks_of_two_daemons_see_different_letters(rabbit: RabbitRig) -> None:
    names = await bury(rabbit.at_work, 100)
    async with (
        running(rabbit.url) as other,
        rabbit.shelf.walk(Aside.DEAD, "q") as letters,
        other.broker.walk(Aside.DEAD, "q") as others,
    ):
        mine = [await anext(letters)]
        theirs = [each async for each in others]
        mine += [each async for each in letters]
        assert sorted(ids(mine) + ids(theirs)) == names
        assert not set(ids(mine)) & set(ids(theirs))
    assert sorted(ids(await walked(rabbit.shelf))) == names


async def test_walks_of_one_daemon_wait_for_each_other(rabbit: RabbitRig) -> None:
    names = await bury(rabbit.at_work, 100)
    one, two, invalid = await asyncio.gather(
        walked(rabbit.shelf), walked(rabbit.shelf), walked(rabbit.shelf, Aside.INVALID)
    )
    assert sorted(ids(one)) == sorted(ids(two)) == names
    assert invalid == []


async def test_a_classic_queue_is_walked_too(vhost_url: str) -> None:
    for queue in ("q", DEAD):
        await asyncio.to_thread(publisher.declare_classic, vhost_url, queue)
    bodies = [b"%03d" % number for number in range(300)]
    await asyncio.to_thread(publisher.publish_many, vhost_url, DEAD, bodies)
    async with running(vhost_url) as at_work:
        await at_work.broker.enqueue(at_work.envelope("ready", "q"))
        async with at_work.broker.walk(Aside.DEAD, "q") as letters:
            async for each in letters:
                if each.message.body in bodies[::2]:
                    await at_work.broker.remove(each)
        left = await walked(at_work.broker)
        assert [each.message.body for each in left] == bodies[1::2]
        assert await at_work.broker.depths("q") == Depths(1, 150, 0)
        assert await at_work.broker.clear(Aside.DEAD, "q") == 150
        assert await at_work.broker.purge("q") == 1


async def test_what_others_have_put_there_is_shown_and_not_believed(rabbit: RabbitRig) -> None:
    await rabbit.submit(DEAD, b"theirs", headers={"wr-id": "forged"}, message_id="m1")
    await rabbit.submit(DEAD, b"absurd", timestamp=2**63, message_id="m2")
    first, again = await walked(rabbit.shelf), await walked(rabbit.shelf)
    assert [each.message.body for each in first] == [b"theirs", b"absurd"]
    assert [dict(each.message.headers) for each in first] == [{}, {}]
    assert [each.at for each in first] == [0.0, 0.0]
    assert [each.letter for each in first] == [each.letter for each in again]
    assert rabbit.at_work.broker.state().connected


async def test_the_time_and_the_name_of_an_invalid_message_are_kept(rabbit: RabbitRig) -> None:
    before = rabbit.at_work.clock.now()
    recorder = await rabbit.consuming(settles=False)
    await rabbit.submit("q", b"no task", message_id="theirs")
    (taken,) = await recorder.until(1)
    await rabbit.broker.quarantine(taken.delivery, "not_json", "is no JSON")
    (letter,) = await walked(rabbit.shelf, Aside.INVALID)
    assert before - 0.001 <= letter.at <= rabbit.at_work.clock.now() + 0.001
    assert len(letter.letter) == 16
    assert int(letter.letter, 16) >= 0


async def test_a_queue_that_is_gone_holds_nothing(rabbit: RabbitRig) -> None:
    vhost = rabbit.url.rsplit("/", 1)[1]
    for queue in (DEAD, "other"):
        await asyncio.to_thread(rabbit.node.delete_queue, queue, vhost)
    assert await walked(rabbit.shelf) == []
    assert await rabbit.shelf.depths("q") == Depths(0, 0, 0)
    assert await rabbit.shelf.clear(Aside.DEAD, "q") == 0
    assert await rabbit.shelf.purge("other") == 0
    assert rabbit.at_work.broker.state().connected


async def test_a_queue_that_is_not_configured_is_unknown(rabbit: RabbitRig) -> None:
    shelf = rabbit.shelf
    for asked in (shelf.depths("nobody"), shelf.purge("nobody"), shelf.clear(Aside.DEAD, "nobody")):
        with pytest.raises(UnknownQueueError, match="nobody"):
            await asked
    with pytest.raises(UnknownQueueError, match="nobody"):
        async with shelf.walk(Aside.DEAD, "nobody"):
            pass


async def test_letters_outlive_the_configuration_of_their_queue(rabbit: RabbitRig) -> None:
    names = await bury(rabbit.at_work, 3)
    await rabbit.broker.serve(("other",))
    assert sorted(ids(await walked(rabbit.shelf))) == names
    assert (await rabbit.shelf.depths("q")).dead == 3
    with pytest.raises(UnknownQueueError):
        await rabbit.shelf.purge("q")
    assert await rabbit.shelf.clear(Aside.DEAD, "q") == 3


async def test_nobody_waits_for_a_broker_that_is_absent(unused_tcp_port: int) -> None:
    started = start(f"amqp://guest:guest@127.0.0.1:{unused_tcp_port}/")
    shelf = started.broker
    for asked in (shelf.depths("q"), shelf.purge("q"), shelf.clear(Aside.DEAD, "q"), walked(shelf)):
        with pytest.raises(BrokerUnavailableError):
            await asked
    await started.stop()
