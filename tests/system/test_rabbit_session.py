"""Connecting to a real RabbitMQ: what is declared, adopted, refused, and said about it."""

import asyncio
import json
import secrets
from pathlib import Path

import pytest

from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.proxy import FaultProxy, Side
from tests.parts.running_broker import until
from tests.parts.running_rabbit import quick, running, start
from tests.parts.scene import eventually
from tests.parts.tls import Tls
from webhook_runner.broker import apart
from webhook_runner.broker.amqp.topology import definitions
from webhook_runner.errors import TopologyError
from webhook_runner.task.event import BrokerConnected, BrokerLost, ConsumingChanged, Warned

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(120)]


async def test_a_missing_queue_is_declared_as_quorum(vhost_url: str, node: RabbitNode) -> None:
    async with running(vhost_url):
        vhost = vhost_url.rsplit("/", 1)[1]
        listed = await asyncio.to_thread(node.ctl, "list_queues", "-p", vhost, "name", "type")
        assert "q\tquorum" in listed.splitlines()


async def test_an_existing_classic_queue_is_adopted_with_a_warning(vhost_url: str) -> None:
    await asyncio.to_thread(publisher.declare_classic, vhost_url, "q")
    async with running(vhost_url) as at_work:
        (warning,) = [each for each in at_work.notes.of(Warned) if "queue q" in each.about]
        assert "x-queue-type" in warning.text
        assert "classic" in warning.text
        recorder = await at_work.consuming("q", settles=False)
        await asyncio.to_thread(publisher.publish, vhost_url, "q", b"theirs")
        await at_work.broker.enqueue(at_work.envelope("ours", "q"))
        await recorder.until(2)
        await at_work.broker.release(recorder.taken[0].delivery)
        again = (await recorder.until(3))[2].delivery
        assert (again.redeliveries, again.counted) == (1, False)


async def test_objects_that_are_only_verified_are_named_when_missing(vhost_url: str) -> None:
    started = start(vhost_url, settings=quick(topology="verify"))
    with pytest.raises(TopologyError, match=r"exchange wr\.v1\.unrouted is missing.*topology"):
        await started.run


async def test_imported_definitions_pass_the_verification(
    vhost_url: str, node: RabbitNode, tmp_path: Path
) -> None:
    vhost = vhost_url.rsplit("/", 1)[1]
    exported = definitions("wr.v1", ("q",), vhost) | {"permissions": []}
    path = tmp_path / "definitions.json"
    path.write_text(json.dumps(exported))
    await asyncio.to_thread(node.ctl, "import_definitions", str(path))
    async with running(vhost_url, settings=quick(topology="verify")) as at_work:
        recorder = await at_work.consuming("q")
        await at_work.broker.park(at_work.envelope("t1", "q", 0.5))
        await recorder.until_ids(["t1"])


async def test_a_forbidden_declaration_is_named(vhost_url: str, node: RabbitNode) -> None:
    vhost = vhost_url.rsplit("/", 1)[1]
    user = f"u{secrets.token_hex(4)}"
    await asyncio.to_thread(node.ctl, "add_user", user, "secret")
    await asyncio.to_thread(node.ctl, "set_permissions", "-p", vhost, user, "^$", ".*", ".*")
    started = start(vhost_url.replace("guest:guest", f"{user}:secret"))
    with pytest.raises(TopologyError, match=r"cannot declare exchange wr\.v1\.unrouted.*verify"):
        await started.run


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("guest:guest", "guest:wrong"), "refused user or password"),
        (("/t", "/no-such-vhost-"), "vhost"),
    ],
)
async def test_what_keeps_us_from_connecting_is_told_once_and_clearly(
    vhost_url: str, change: tuple[str, str], text: str
) -> None:
    started = start(vhost_url.replace(*change), settings=quick(reconnect_max_seconds=0.1))
    (lost,) = await started.notes.until(BrokerLost)
    assert text in lost.error
    assert "wrong" not in lost.error
    await asyncio.sleep(1)
    assert len(started.notes.events) == 1
    await started.stop()


async def test_a_broker_that_is_absent_at_start_is_waited_for() -> None:
    with RabbitNode.start() as node:
        node.kill()
        started = start(node.url)
        await started.notes.until(BrokerLost)
        await asyncio.to_thread(node.restart)
        await started.notes.until(BrokerConnected)
        assert len(started.notes.of(BrokerLost)) == 1
        await started.stop()


async def test_a_password_may_come_from_a_file(vhost_url: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("guest\n")
    url = vhost_url.replace("guest:guest", "guest")
    async with running(url, settings=quick(password_file=str(path))) as at_work:
        assert at_work.broker.state().connected


async def test_over_tls_both_sides_must_prove_themselves() -> None:
    with RabbitNode.start(tls=Tls(verify_peer=True)) as node:
        assert node.tls is not None
        files = node.tls.files
        settings = quick(
            ca_file=str(files.authority),
            cert_file=str(files.client_certificate),
            key_file=str(files.client_key),
        )
        async with running(node.tls_url, settings=settings) as at_work:
            assert at_work.broker.state().connected
        stranger = start(node.tls_url)
        (lost,) = await stranger.notes.until(BrokerLost)
        assert "certificate" in lost.error.lower()
        await stranger.stop()


async def test_a_message_that_ends_every_delivery_is_tried_alone_as_the_same_task(
    vhost_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "WAIT_SECONDS", 0.5)
    async with running(vhost_url) as at_work:
        recorder = await at_work.consuming("q", settles=False)
        body = b'{"url": "http://a.example"}'
        await asyncio.to_thread(publisher.publish, vhost_url, "q", body, message_id="their-id")
        count = 0
        while not any(taken.id for taken in recorder.taken):
            count += 1
            taken = (await recorder.until(count))[-1]
            await at_work.broker.release(taken.delivery)
        last = recorder.taken[-1].delivery.message
        assert last.headers["wr-id"] == "their-id"
        assert last.headers["wr-alone"] == 1
        assert last.body == body


async def test_what_is_published_again_without_a_confirm_says_that_it_may_be_a_duplicate(
    vhost_url: str, node: RabbitNode
) -> None:
    with FaultProxy("127.0.0.1", node.port) as proxy:
        async with running(proxy.url_for(vhost_url)) as at_work:
            recorder = await at_work.consuming("q")
            proxy.hold(Side.CLIENT)
            sending = asyncio.ensure_future(at_work.broker.enqueue(at_work.envelope("t1", "q")))
            parking = asyncio.ensure_future(
                at_work.broker.park(at_work.envelope("t2", "q", wait=1.0))
            )
            vhost = vhost_url.rsplit("/", 1)[1]
            await asyncio.to_thread(
                eventually, lambda: sum(map(sum, node.queue_depths(vhost).values())) == 2
            )
            proxy.cut()
            proxy.pass_through()
            await asyncio.gather(sending, parking)
            await recorder.until(4)
            marked = [
                (each.id, each.delivery.message.headers.get("wr-doubtful"))
                for each in recorder.taken
            ]
            assert sorted(marked, key=str) == [("t1", 1), ("t1", None), ("t2", 1), ("t2", None)]


async def test_a_queue_that_is_deleted_is_told_and_consumed_again(
    vhost_url: str, node: RabbitNode
) -> None:
    async with running(vhost_url) as at_work:
        await at_work.consuming("q")
        await asyncio.to_thread(node.delete_queue, "q", vhost_url.rsplit("/", 1)[1])
        changes = await at_work.notes.until(ConsumingChanged, 3)
        assert [change.consuming for change in changes] == [True, False, True]
        await until(lambda: "q" in at_work.broker.state().consuming, "consuming", 5)


async def test_a_queue_that_is_deleted_costs_none_of_its_consumers_the_connection(
    vhost_url: str, node: RabbitNode
) -> None:
    async with running(vhost_url) as one, running(vhost_url) as two, running(vhost_url) as three:
        all_of_them = (one, two, three)
        for each in all_of_them:
            await each.consuming("q")
        for deletions in range(1, 6):
            await asyncio.to_thread(node.delete_queue, "q", vhost_url.rsplit("/", 1)[1])
            for each in all_of_them:
                await each.notes.until(ConsumingChanged, 1 + 2 * deletions)
        assert [each.notes.of(BrokerLost) for each in all_of_them] == [[], [], []]
