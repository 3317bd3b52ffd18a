"""What every implementation of the broker port does. A new one is a line in RIGS."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.running_broker import Recorder, Running, running, until

URL_BODY = b'{"url": "http://a.example/x"}'


class RabbitRig:
    """RabbitMQ, as seen by an application beside us."""

    def __init__(self, url: str, node: RabbitNode, at_work: Running) -> None:
        self.url = url
        self.node = node
        self.at_work = at_work
        self.broker = at_work.broker

    async def submit(self, queue: str, body: bytes, **properties: object) -> None:
        await asyncio.to_thread(publisher.publish, self.url, queue, body, **properties)

    async def lose_connection(self) -> None:
        await asyncio.to_thread(self.node.ctl, "close_all_connections", "--global", "by a test")

    async def ready(self, queue: str) -> int:
        return await asyncio.to_thread(publisher.depth, self.url, queue)

    async def invalid(self, queue: str) -> list[publisher.Message]:
        name = f"wr.v1.invalid.{queue}"
        return await asyncio.to_thread(publisher.drain, self.url, name)

    async def dead(self, queue: str) -> list[publisher.Message]:
        return await asyncio.to_thread(publisher.drain, self.url, f"wr.v1.dead.{queue}")


@asynccontextmanager
async def rabbitmq(request: pytest.FixtureRequest) -> AsyncIterator[RabbitRig]:
    url: str = request.getfixturevalue("vhost_url")
    node: RabbitNode = request.getfixturevalue("node")
    async with running(url, ("q", "other")) as at_work:
        yield RabbitRig(url, node, at_work)


Rigs = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[RabbitRig]]
RIGS = [pytest.param(rabbitmq, id="rabbitmq", marks=pytest.mark.rabbitmq)]


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[RabbitRig]:
    open_rig: Rigs = request.param
    async with open_rig(request) as opened:
        yield opened


async def consuming(rig: RabbitRig, prefetch: int = 100, **how: bool) -> Recorder:
    return await rig.at_work.consuming("q", prefetch, **how)


async def test_an_enqueued_task_arrives_with_its_bytes_and_its_progress(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    await rig.broker.enqueue(rig.at_work.envelope("t1", "q", body=b'{"url":  "http://a.example"}'))
    (taken,) = await recorder.until(1)
    assert taken.delivery.message.body == b'{"url":  "http://a.example"}'
    assert taken.delivery.message.headers["wr-id"] == "t1"
    assert (taken.delivery.queue, taken.delivery.redeliveries) == ("q", 0)


async def test_a_message_of_an_application_arrives_as_it_was_published(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    await rig.submit(
        "q",
        URL_BODY,
        message_id="their-id",
        correlation_id="their-correlation",
        timestamp=1_700_000_000,
        headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
    )
    (taken,) = await recorder.until(1)
    message = taken.delivery.message
    assert (message.body, message.message_id) == (URL_BODY, "their-id")
    assert (message.correlation_id, message.timestamp) == ("their-correlation", 1_700_000_000)
    assert message.traceparent.startswith("00-aaa")
    assert message.persistent
    assert not message.expiration


async def test_headers_of_ours_are_not_believed_from_others(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    await rig.submit("q", URL_BODY, headers={"wr-id": "forged", "wr-attempt": 99})
    (taken,) = await recorder.until(1)
    assert taken.delivery.message.headers == {}


async def test_an_absurd_timestamp_harms_only_itself(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    await rig.submit("q", b"absurd", timestamp=2**63)
    await rig.submit("q", b"sound", timestamp=1_700_000_000)
    await recorder.until(2)
    assert sorted(recorder.bodies) == [b"absurd", b"sound"]
    assert rig.at_work.broker.state().connected


async def test_a_parked_task_comes_back_on_time_and_never_early(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    waits = [0.0, 0.05, 0.3, 0.9, 1.3, 1.7, 2.4, 3.1]
    for wait in waits:
        await rig.broker.park(rig.at_work.envelope(f"t{wait}", "q", wait))
    taken = await recorder.until(len(waits))
    assert all(0 <= each.late < 1.0 for each in taken)
    assert len(recorder.ids) == len(waits)


async def test_a_task_that_cannot_be_taken_now_comes_by_its_queue(rig: RabbitRig) -> None:
    recorder = await consuming(rig, busy=True)
    await rig.broker.park(rig.at_work.envelope("t1", "q", 0.5))
    (taken,) = await recorder.until(1)
    assert not taken.direct
    assert taken.late >= 0


async def test_a_parked_task_of_a_queue_not_consumed_here_waits_in_that_queue(
    rig: RabbitRig,
) -> None:
    await rig.broker.park(rig.at_work.envelope("t1", "other", 0.3))
    recorder = await rig.at_work.consuming("other")
    (taken,) = await recorder.until(1)
    assert taken.delivery.queue == "other"
    assert taken.late >= 0


async def test_an_acked_task_does_not_come_again(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    await rig.broker.enqueue(rig.at_work.envelope("t1", "q"))
    await recorder.until(1)
    await rig.lose_connection()
    await rig.broker.enqueue(rig.at_work.envelope("t2", "q"))
    await recorder.until_ids(["t2"])
    assert [taken.id for taken in recorder.taken] == ["t1", "t2"]


async def test_an_unsettled_task_comes_again_after_a_lost_connection(rig: RabbitRig) -> None:
    recorder = await consuming(rig, settles=False)
    await rig.broker.enqueue(rig.at_work.envelope("t1", "q"))
    await recorder.until(1)
    await rig.lose_connection()
    first, again = await recorder.until(2)
    assert rig.broker.is_lost(first.delivery)
    assert not rig.broker.is_lost(again.delivery)
    assert again.delivery.redeliveries == 1
    assert again.delivery.counted
    assert await rig.broker.ack(first.delivery) is False
    assert await rig.broker.ack(again.delivery) is True


async def test_a_released_task_comes_again(rig: RabbitRig) -> None:
    recorder = await consuming(rig, settles=False)
    await rig.broker.enqueue(rig.at_work.envelope("t1", "q"))
    (first,) = await recorder.until(1)
    await rig.broker.release(first.delivery)
    _, again = await recorder.until(2)
    assert again.id == "t1"
    assert again.delivery.redeliveries == 1


async def test_no_more_than_the_prefetch_is_unsettled(rig: RabbitRig) -> None:
    recorder = await consuming(rig, prefetch=3, settles=False)
    for number in range(8):
        await rig.broker.enqueue(rig.at_work.envelope(f"t{number}", "q"))
    await recorder.until(3)
    await rig.broker.ack(recorder.taken[0].delivery)
    await recorder.until(4)
    assert len(recorder.taken) == 4
    assert await rig.ready("q") == 4


async def test_a_changed_prefetch_leaves_what_is_unsettled_settleable(rig: RabbitRig) -> None:
    recorder = await consuming(rig, prefetch=1, settles=False)
    for number in range(3):
        await rig.broker.enqueue(rig.at_work.envelope(f"t{number}", "q"))
    (first,) = await recorder.until(1)
    await rig.broker.consume("q", recorder, 2)
    await recorder.until(3)
    assert await rig.broker.ack(first.delivery) is True
    assert len(recorder.ids) == 3


async def test_a_queue_that_is_not_consumed_any_more_hands_over_nothing(rig: RabbitRig) -> None:
    recorder = await consuming(rig, settles=False)
    await rig.broker.enqueue(rig.at_work.envelope("t1", "q"))
    (held,) = await recorder.until(1)
    await rig.broker.stop_consuming("q")
    await rig.broker.enqueue(rig.at_work.envelope("t2", "q"))
    await until_ready(rig, 1)
    assert recorder.ids == {"t1"}
    assert await rig.broker.ack(held.delivery) is True


async def until_ready(rig: RabbitRig, count: int) -> None:
    while await rig.ready("q") != count:  # noqa: ASYNC110 - the broker tells nobody
        await asyncio.sleep(0.05)


async def test_a_parked_task_of_a_stopped_queue_waits_in_its_queue(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    await rig.broker.stop_consuming("q")
    await rig.broker.park(rig.at_work.envelope("t1", "q", 0.4))
    await until_ready(rig, 1)
    assert recorder.taken == []


async def test_an_invalid_message_is_kept_byte_for_byte_with_the_reason(rig: RabbitRig) -> None:
    recorder = await consuming(rig, settles=False)
    body = b'\xff\x00 not "json'
    await rig.submit(
        "q", body, message_id="their-id", content_type="text/odd", headers={"theirs": 1, "x-a": 2}
    )
    (taken,) = await recorder.until(1)
    await rig.broker.quarantine(taken.delivery, "not_json", "headers.x: is no JSON")
    await rig.broker.ack(taken.delivery)
    (kept,) = await rig.invalid("q")
    assert kept.body == body
    assert (kept.properties.message_id, kept.properties.content_type) == ("their-id", "text/odd")
    assert kept.headers["wr-error"] == "not_json"
    assert kept.headers["wr-field"] == "headers.x"
    assert kept.headers["wr-source"] == "q"
    assert kept.headers["theirs"] == 1
    assert "x-a" not in kept.headers


async def test_a_dead_letter_holds_the_task_and_why_it_failed(rig: RabbitRig) -> None:
    summary = json.dumps({"status": 503, "body": "x" * 10_000}).encode()
    envelope = rig.at_work.envelope("t1", "q", body=b'{"url": "http://a.example", "n": 1.0}')
    await rig.broker.bury(envelope, summary)
    (kept,) = await rig.dead("q")
    assert kept.body == envelope.task.source
    assert kept.headers["wr-id"] == "t1"
    assert str(kept.headers["wr-summary"]).startswith('{"status": 503')
    assert len(str(kept.headers["wr-summary"])) == 8192
    assert isinstance(kept.headers["wr-died"], int)


async def test_a_cancelled_publish_leaves_the_others_confirmed_rightly(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    names = [f"t{number}" for number in range(200)]
    tasks = [
        asyncio.ensure_future(rig.broker.enqueue(rig.at_work.envelope(name, "q"))) for name in names
    ]
    for round_ in range(4):
        await asyncio.sleep(0)
        tasks[round_ * 50].cancel()
        tasks[round_ * 50 + 7].cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    confirmed = [name for name, end in zip(names, ended, strict=True) if end is None]
    assert len(confirmed) >= 192
    await recorder.until_ids(confirmed)
    await rig.broker.enqueue(rig.at_work.envelope("last", "q"))
    await recorder.until_ids(["last"])
    assert rig.at_work.broker.state().connected


async def test_a_publish_outlives_a_lost_connection(rig: RabbitRig) -> None:
    recorder = await consuming(rig)
    names = [f"t{number}" for number in range(400)]

    async def publish_all() -> None:
        for name in names:
            await rig.broker.enqueue(rig.at_work.envelope(name, "q"))

    publishing = asyncio.ensure_future(publish_all())
    await recorder.until(10)
    await rig.lose_connection()
    await publishing
    await recorder.until_ids(names)


async def test_draining_gives_back_what_waits_for_its_time(rig: RabbitRig) -> None:
    await rig.broker.park(rig.at_work.envelope("t1", "q", 1.2))
    await until(lambda: True, "nothing")
    await rig.broker.drain()
    async with running(rig.url, ("q", "other")) as successor:
        recorder = await successor.consuming("q")
        (taken,) = await recorder.until(1)
        assert taken.id == "t1"
        assert taken.late >= 0
