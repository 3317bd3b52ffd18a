"""A board over RabbitMQ: reconnects, restarts, two daemons, foreign messages, narrow rights."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.rabbit_rig import RabbitRig, rabbitmq
from tests.parts.node import RabbitNode
from tests.parts.running_broker import Running, until
from tests.parts.running_rabbit import quick, running, start
from webhook_runner.broker.amqp import hearing
from webhook_runner.broker.amqp.declare import SETTLING_SECONDS
from webhook_runner.broker.amqp.topology import definitions
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.errors import TopologyError
from webhook_runner.task.event import BrokerLost, Warned
from webhook_runner.task.notice import Notice

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(120)]

STREAM = "wr.v1.tombstones"
MANY = 20_000


def note(number: int) -> Notice:
    return Notice(f"task:{number}", 1.5 + number, b'{"run": 1}')


@pytest.fixture
async def rabbit(request: pytest.FixtureRequest) -> AsyncIterator[RabbitRig]:
    async with rabbitmq(request) as opened:
        yield opened


def vhost_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


async def queues(node: RabbitNode, url: str) -> list[str]:
    listed = await asyncio.to_thread(node.ctl, "list_queues", "-p", vhost_of(url), "name", "-s")
    return listed.split()


async def confined(node: RabbitNode, url: str, *rights: str) -> str:
    """Return the url for a user with these rights to configure, write and read."""
    user = f"u{secrets.token_hex(4)}"
    await asyncio.to_thread(node.ctl, "add_user", user, "secret")
    await asyncio.to_thread(node.ctl, "set_permissions", "-p", vhost_of(url), user, *rights)
    return url.replace("guest:guest", f"{user}:secret")


async def imported(node: RabbitNode, url: str, directory: Path) -> dict[str, str]:
    """Import the definitions as an administrator does; return the rights they hint at."""
    exported = definitions("wr.v1", ("q",), vhost_of(url))
    hinted = exported.pop("permissions")
    assert isinstance(hinted, list)
    path = directory / "definitions.json"
    path.write_text(json.dumps(exported))
    await asyncio.to_thread(node.ctl, "import_definitions", str(path))
    rights: dict[str, str] = hinted[0]
    return rights


async def test_a_new_connection_reads_on_where_the_last_one_ended(rabbit: RabbitRig) -> None:
    await rabbit.board.recalled()
    await rabbit.board.post([note(1), note(2)])
    await rabbit.heard.until(note(2))
    async with running(rabbit.url, attends=True) as other:
        await rabbit.lose_connection()
        await other.broker.post([note(3)])
    await rabbit.heard.until(note(3))
    await rabbit.board.recalled()
    assert rabbit.heard.notices == [note(1), note(2), note(3)]
    await rabbit.board.call(b"still here")
    await rabbit.heard.until(b"still here")


async def test_many_notices_are_replayed_before_anything_is_consumed(vhost_url: str) -> None:
    async with running(vhost_url, attends=True) as first:
        await first.broker.post([note(number) for number in range(MANY)])
    async with running(vhost_url, attends=True) as second:
        await second.consuming("q")
        assert second.heard.notices == [note(number) for number in range(MANY)]


async def test_notices_outlive_the_broker() -> None:
    with RabbitNode.start() as node:
        async with running(node.url, attends=True) as at_work:
            await at_work.broker.post([note(1)])
            await asyncio.sleep(SETTLING_SECONDS)  # or 3.10.8 loses what is so young
            await asyncio.to_thread(node.kill)
            posting = asyncio.ensure_future(at_work.broker.post([note(2)]))
            await asyncio.to_thread(node.restart)
            await posting
            await at_work.heard.until(note(1), note(2))
        async with running(node.url, attends=True) as following:
            await following.broker.recalled()
            assert set(following.heard.notices) == {note(1), note(2)}


async def test_daemons_hear_a_word_only_after_the_notices_of_its_sender(vhost_url: str) -> None:
    async with running(vhost_url, attends=True) as one, running(vhost_url, attends=True) as two:
        await asyncio.gather(one.broker.recalled(), two.broker.recalled())

        async def talk(sender: Running[RabbitBroker], name: int) -> None:
            for number in range(name, name + 100, 2):
                await sender.broker.post([note(number), note(number + 1)])
                await sender.broker.call(b"%d" % number)

        await asyncio.gather(talk(one, 0), talk(two, 1000))
        for listener in (one, two):
            await listener.heard.until(b"98", b"1098")
            places = {said: place for place, said in enumerate(listener.heard.said)}
            for number in map(int, listener.heard.words):
                assert max(places[note(number)], places[note(number + 1)]) < places[b"%d" % number]
            for name in (0, 1000):
                heard = [
                    each for each in map(int, listener.heard.words) if each // 1000 * 1000 == name
                ]
                assert heard == list(range(name, name + 100, 2))


async def test_who_does_not_listen_may_post_and_call(vhost_url: str, node: RabbitNode) -> None:
    async with running(vhost_url) as silent:
        await silent.broker.recalled()
        assert STREAM not in await queues(node, vhost_url)
        await silent.broker.call(b"nobody hears it")
        await silent.broker.post([note(1)])
        async with running(vhost_url, attends=True) as listening:
            await listening.broker.recalled()
            await silent.broker.post([note(2)])
            await silent.broker.call(b"after")
            await listening.heard.until(b"after")
            assert listening.heard.said == [note(1), note(2), b"after"]


async def test_foreign_messages_are_ignored_and_told_once(rabbit: RabbitRig) -> None:
    await rabbit.board.recalled()
    (ear,) = [each for each in await queues(rabbit.node, rabbit.url) if ".ctl." in each]
    for place in (STREAM, ear):
        await rabbit.submit(place, b"junk")
        await rabbit.submit(place, b"absurd", timestamp=2**63)
        await rabbit.submit(place, b"like ours", headers={"wr-board": "notice", "wr-key": 1})
        await rabbit.submit(
            place, b"x", headers={"wr-board": "notice", "wr-key": "k", "wr-at": "y"}
        )
        await rabbit.submit(place, b"", headers={"wr-board": "mark", "wr-sender": "s"})
    await rabbit.board.post([note(1)])
    await rabbit.board.call(b"word")
    await rabbit.heard.until(note(1), b"word")
    told = [each.about for each in rabbit.at_work.notes.of(Warned) if "foreign" in each.about]
    assert sorted(told) == ["foreign messages in wr.v1.control", f"foreign messages in {STREAM}"]
    assert not rabbit.at_work.notes.of(BrokerLost)
    async with rabbit.successor() as following:
        await following.broker.recalled()
        assert following.heard.said == [note(1)]


async def test_a_stream_that_is_deleted_is_made_anew_and_read(rabbit: RabbitRig) -> None:
    await rabbit.board.recalled()
    await rabbit.board.post([note(number) for number in range(10)])
    await rabbit.heard.until(note(9))
    await asyncio.to_thread(rabbit.node.delete_queue, STREAM, vhost_of(rabbit.url))
    await rabbit.at_work.notes.until(BrokerLost)
    await rabbit.board.post([note(10)])
    await rabbit.heard.until(note(10))


async def test_a_stream_made_anew_behind_our_back_is_read_from_its_beginning(
    rabbit: RabbitRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "SILENT_SECONDS", 1.0)
    await rabbit.board.recalled()
    await rabbit.board.post([note(number) for number in range(10)])
    await rabbit.heard.until(note(9))
    rabbit.at_work.broker._board._memory.onward = 1000
    await rabbit.lose_connection()
    await rabbit.at_work.notes.until(BrokerLost, 2)
    await rabbit.board.recalled()
    await rabbit.board.post([note(10)])
    await rabbit.heard.until(note(10))


async def test_the_exported_rights_suffice_to_hear_and_to_be_heard(
    vhost_url: str, node: RabbitNode, tmp_path: Path
) -> None:
    rights = await imported(node, vhost_url, tmp_path)
    url = await confined(node, vhost_url, *(rights[e] for e in ("configure", "write", "read")))
    for mode in ("verify", "none"):
        async with running(url, settings=quick(topology=mode), attends=True) as at_work:
            await at_work.broker.recalled()
            await at_work.broker.post([note(1)])
            await at_work.broker.call(b"word")
            await at_work.heard.until(note(1), b"word")


async def test_who_may_not_have_a_queue_to_listen_by_is_told_what_to_grant(
    vhost_url: str, node: RabbitNode, tmp_path: Path
) -> None:
    await imported(node, vhost_url, tmp_path)
    url = await confined(node, vhost_url, "^$", ".*", ".*")
    started = start(url, settings=quick(topology="verify"), attends=True)
    with pytest.raises(TopologyError, match=r"cannot hear other daemons.*wr\.v1\.ctl\..*topology"):
        await started.run


@pytest.mark.parametrize("mode", ["verify", "none"])
async def test_a_missing_stream_is_named_where_nothing_is_declared(
    vhost_url: str, node: RabbitNode, tmp_path: Path, mode: str
) -> None:
    await imported(node, vhost_url, tmp_path)
    await asyncio.to_thread(node.delete_queue, STREAM, vhost_of(vhost_url))
    started = start(vhost_url, settings=quick(topology=mode), attends=True)
    with pytest.raises(TopologyError, match=r"wr\.v1\.tombstones.*webhook-runner topology"):
        await started.run


async def test_nothing_is_said_to_the_engine_before_it_connects(vhost_url: str) -> None:
    started = start(vhost_url, attends=True)
    recalled = asyncio.ensure_future(started.broker.recalled())
    assert not recalled.done()
    await until(recalled.done, "recalled")
    await started.stop()
