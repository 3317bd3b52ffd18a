"""What every broker does with what is published. The brokers are in conftest."""

import asyncio
import json

from tests.contract.rig import Rig
from tests.parts.running_broker import until

URL_BODY = b'{"url": "http://a.example/x"}'


async def test_an_enqueued_task_arrives_with_its_bytes_and_its_progress(rig: Rig) -> None:
    recorder = await rig.consuming()
    await rig.broker.enqueue(rig.at_work.envelope("t1", "q", body=b'{"url":  "http://a.example"}'))
    (taken,) = await recorder.until(1)
    assert taken.delivery.message.body == b'{"url":  "http://a.example"}'
    assert taken.delivery.message.headers["wr-id"] == "t1"
    assert (taken.delivery.queue, taken.delivery.redeliveries) == ("q", 0)
    assert taken.delivery.counted


async def test_a_message_of_an_application_arrives_as_it_was_published(rig: Rig) -> None:
    recorder = await rig.consuming()
    await rig.submit(
        "q",
        URL_BODY,
        message_id="their-id",
        correlation_id="their-correlation",
        timestamp=1_700_000_000,
        content_type="application/json",
        headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
    )
    (taken,) = await recorder.until(1)
    message = taken.delivery.message
    assert (message.body, message.message_id) == (URL_BODY, "their-id")
    assert (message.correlation_id, message.timestamp) == ("their-correlation", 1_700_000_000)
    assert (message.content_type, message.content_encoding) == ("application/json", "")
    assert message.traceparent.startswith("00-aaa")
    assert message.persistent
    assert not message.expiration


async def test_headers_of_ours_are_not_believed_from_others(rig: Rig) -> None:
    recorder = await rig.consuming()
    await rig.submit("q", URL_BODY, headers={"wr-id": "forged", "wr-attempt": 99})
    (taken,) = await recorder.until(1)
    assert taken.delivery.message.headers == {}


async def test_what_is_ready_is_handed_over_in_the_order_of_its_publishes(rig: Rig) -> None:
    names = [f"t{number}" for number in range(25)]
    await rig.enqueue(*names)
    recorder = await rig.consuming(prefetch=4)
    await recorder.until(len(names))
    assert [taken.id for taken in recorder.taken] == names


async def test_queues_know_nothing_of_each_other(rig: Rig) -> None:
    here, there = await rig.consuming(), await rig.at_work.consuming("other")
    await rig.enqueue("t1")
    await rig.broker.enqueue(rig.at_work.envelope("t2", "other"))
    await rig.broker.park(rig.at_work.envelope("t3", "other", 0.1))
    await here.until_ids(["t1"])
    await there.until_ids(["t2", "t3"])
    assert (here.ids, there.ids) == ({"t1"}, {"t2", "t3"})


async def test_a_parked_task_comes_back_on_time_and_never_early(rig: Rig) -> None:
    recorder = await rig.consuming()
    waits = [0.0, 0.05, 0.3, 0.9, 1.3, 1.7, 2.4, 3.1]
    for wait in waits:
        await rig.broker.park(rig.at_work.envelope(f"t{wait}", "q", wait))
    taken = await recorder.until(len(waits))
    assert all(0 <= each.late < 1.0 for each in taken)
    assert len(recorder.ids) == len(waits)


async def test_a_parked_task_comes_back_with_its_bytes_and_its_progress(rig: Rig) -> None:
    recorder = await rig.consuming()
    envelope = rig.at_work.envelope("t1", "q", 0.2, body=b'{"n": 1.0}')
    await rig.broker.park(envelope)
    (taken,) = await recorder.until(1)
    message = taken.delivery.message
    assert (message.body, message.headers["wr-id"]) == (b'{"n": 1.0}', "t1")
    assert message.headers["wr-due"] == round(envelope.due_at * 1000)
    assert taken.delivery.redeliveries == 0


async def test_a_task_parked_for_the_past_comes_at_once(rig: Rig) -> None:
    recorder = await rig.consuming()
    await rig.broker.park(rig.at_work.envelope("t1", "q", -5.0))
    await recorder.until_ids(["t1"])


async def test_a_task_that_cannot_be_taken_now_comes_by_its_queue(rig: Rig) -> None:
    recorder = await rig.consuming(busy=True)
    await rig.broker.park(rig.at_work.envelope("t1", "q", 0.5))
    (taken,) = await recorder.until(1)
    assert not taken.direct
    assert taken.late >= 0


async def test_a_parked_task_of_a_queue_not_consumed_here_waits_in_that_queue(rig: Rig) -> None:
    await rig.broker.park(rig.at_work.envelope("t1", "other", 0.3))
    recorder = await rig.at_work.consuming("other")
    (taken,) = await recorder.until(1)
    assert taken.delivery.queue == "other"
    assert taken.late >= 0


async def test_a_clock_set_forward_makes_due_what_it_jumped_over(rig: Rig) -> None:
    recorder = await rig.consuming()
    await rig.broker.park(rig.at_work.envelope("t1", "q", 120.0))
    await rig.enqueue("t2")
    await recorder.until(1)
    rig.at_work.clock.ahead += 120.0
    taken = await recorder.until(2)
    assert [each.id for each in taken] == ["t2", "t1"]
    assert taken[1].late >= 0


async def test_a_clock_set_back_does_not_hide_what_is_ready(rig: Rig) -> None:
    recorder = await rig.consuming()
    envelope = rig.at_work.envelope("t1", "q")
    rig.at_work.clock.ahead -= 3600.0
    await rig.broker.enqueue(envelope)
    await recorder.until_ids(["t1"])


async def test_what_waits_for_its_time_is_counted(rig: Rig) -> None:
    for number in range(3):
        await rig.broker.park(rig.at_work.envelope(f"t{number}", "q", 600.0))
    await rig.enqueue("now")
    rig.at_work.clock.ahead += 2.5  # a step of the clock is when a broker counts anew
    await until(lambda: rig.broker.scheduled() == 3, "3 that wait")


async def test_an_invalid_message_is_kept_byte_for_byte_with_the_reason(rig: Rig) -> None:
    recorder = await rig.consuming(settles=False)
    body = b'\xff\x00 not "json'
    await rig.submit(
        "q", body, message_id="their-id", content_type="text/odd", correlation_id="their-thread"
    )
    (taken,) = await recorder.until(1)
    await rig.broker.quarantine(taken.delivery, "not_json", "headers.x: is no JSON", "headers.x")
    await rig.broker.ack(taken.delivery)
    (kept,) = await rig.invalid("q")
    assert kept.body == body
    assert (kept.message_id, kept.content_type) == ("their-id", "text/odd")
    assert kept.correlation_id == "their-thread"
    assert kept.headers == {
        "wr-error": "not_json",
        "wr-field": "headers.x",
        "wr-source": "q",
        "wr-explanation": "headers.x: is no JSON",
    }


async def test_an_invalid_copy_of_ours_keeps_no_progress(rig: Rig) -> None:
    """Published again by hand, it is a message of whoever does so."""
    recorder = await rig.consuming(settles=False)
    await rig.enqueue("t1")
    (taken,) = await recorder.until(1)
    await rig.broker.quarantine(taken.delivery, "internal_error", "a bug")
    (kept,) = await rig.invalid("q")
    assert set(kept.headers) == {"wr-error", "wr-source", "wr-explanation"}


async def test_a_dead_letter_holds_the_task_and_why_it_failed(rig: Rig) -> None:
    summary = json.dumps({"status": 503, "body": "x" * 10_000}).encode()
    envelope = rig.at_work.envelope("t1", "q", body=b'{"url": "http://a.example", "n": 1.0}')
    await rig.broker.bury(envelope, summary)
    (kept,) = await rig.dead("q")
    assert kept.body == envelope.task.source
    assert kept.headers["wr-id"] == "t1"
    assert str(kept.headers["wr-summary"]).startswith('{"status": 503')
    assert len(str(kept.headers["wr-summary"])) == 8192
    assert isinstance(kept.headers["wr-died"], int)


async def test_letters_are_not_handed_over(rig: Rig) -> None:
    recorder = await rig.consuming(settles=False)
    await rig.broker.bury(rig.at_work.envelope("dead", "q"), b"{}")
    await rig.enqueue("t1")
    (taken,) = await recorder.until(1)
    await rig.broker.quarantine(taken.delivery, "not_json", "is no JSON")
    await rig.enqueue("t2")
    await recorder.until(2)
    assert recorder.ids == {"t1", "t2"}


async def test_a_cancelled_publish_leaves_the_others_confirmed_rightly(rig: Rig) -> None:
    recorder = await rig.consuming()
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
    await rig.enqueue("last")
    await recorder.until_ids(["last"])
    assert rig.broker.state().connected


async def test_a_publish_outlives_a_lost_connection(lasting: Rig) -> None:
    recorder = await lasting.consuming()
    names = [f"t{number}" for number in range(400)]
    publishing = asyncio.ensure_future(lasting.enqueue(*names))
    await recorder.until(10)
    await lasting.lose_connection()
    await publishing
    await recorder.until_ids(names)


async def test_what_was_confirmed_is_there_after_a_lost_connection(lasting: Rig) -> None:
    await lasting.enqueue("t1", "t2")
    await lasting.broker.park(lasting.at_work.envelope("t3", "q", 1.5))
    await lasting.broker.bury(lasting.at_work.envelope("t4", "q"), b"{}")
    await lasting.lose_connection()
    recorder = await lasting.consuming()
    taken = await recorder.until(3)
    assert [each.id for each in taken] == ["t1", "t2", "t3"]
    assert taken[2].late >= 0
    assert [kept.headers["wr-id"] for kept in await lasting.dead("q")] == ["t4"]


async def test_draining_gives_back_what_waits_for_its_time(lasting: Rig) -> None:
    await lasting.broker.park(lasting.at_work.envelope("t1", "q", 1.2))
    await lasting.broker.drain()
    async with lasting.successor() as successor:
        recorder = await successor.consuming("q")
        (taken,) = await recorder.until(1)
        assert taken.id == "t1"
        assert taken.late >= 0
        assert taken.delivery.redeliveries == 0


async def test_draining_keeps_every_ack_and_gives_back_what_is_not_settled(lasting: Rig) -> None:
    recorder = await lasting.consuming(settles=False)
    await lasting.enqueue("t1", "t2")
    first, second = await recorder.until(2)
    assert await lasting.broker.ack(first.delivery) is True
    await lasting.broker.drain()
    assert not lasting.broker.state().connected
    assert lasting.broker.is_lost(second.delivery)
    assert await lasting.broker.ack(second.delivery) is False
    async with lasting.successor() as successor:
        (again,) = await (await successor.consuming("q")).until(1)
        assert again.id == "t2"
        await successor.broker.enqueue(successor.envelope("t3", "q"))
        await until(lasting.at_work.run.done, "the end of who was drained")
