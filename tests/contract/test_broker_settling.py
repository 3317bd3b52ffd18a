"""What every broker does with what was handed over: acked, given back, or lost."""

import asyncio

import pytest

from tests.contract.rig import Rig
from tests.parts.running_broker import until
from webhook_runner.broker import apart
from webhook_runner.task.event import ConsumingChanged, Warned


async def test_an_acked_task_does_not_come_again(lasting: Rig) -> None:
    recorder = await lasting.consuming()
    await lasting.enqueue("t1")
    await recorder.until(1)
    await recorder.settled()
    await lasting.lose_connection()
    await lasting.enqueue("t2")
    await recorder.until_ids(["t2"])
    assert [taken.id for taken in recorder.taken] == ["t1", "t2"]


async def test_an_ack_without_an_attempt_is_final(lasting: Rig) -> None:
    """So is dropped what came as a copy, what was cancelled, and what expired."""
    recorder = await lasting.consuming(settles=False)
    await lasting.enqueue("t1")
    await lasting.broker.park(lasting.at_work.envelope("t2", "q", 0.1))
    for taken in await recorder.until(2):
        assert await lasting.broker.ack(taken.delivery) is True
    await lasting.lose_connection()
    await lasting.enqueue("t3")
    await recorder.until_ids(["t3"])
    assert sorted(taken.id for taken in recorder.taken) == ["t1", "t2", "t3"]


async def test_an_unsettled_task_comes_again_after_a_lost_connection(lasting: Rig) -> None:
    recorder = await lasting.consuming(settles=False)
    await lasting.enqueue("t1")
    await recorder.until(1)
    await lasting.lose_connection()
    first, again = await recorder.until(2)
    assert lasting.broker.is_lost(first.delivery)
    assert not lasting.broker.is_lost(again.delivery)
    assert again.delivery.redeliveries == 1
    assert again.delivery.counted
    assert await lasting.broker.ack(first.delivery) is False
    await lasting.broker.release(first.delivery)
    assert await lasting.broker.ack(again.delivery) is True


async def test_every_death_with_a_task_in_hand_is_counted_and_no_other(lasting: Rig) -> None:
    recorder = await lasting.consuming(prefetch=1, settles=False)
    await lasting.enqueue("held", "behind")
    for deaths in range(4):
        (*_, last) = await recorder.until(deaths + 1)
        assert (last.id, last.delivery.redeliveries) == ("held", deaths)
        await until(lambda: "q" in lasting.broker.state().consuming, "consuming")
        if deaths < 3:
            await lasting.lose_connection()
    await lasting.broker.ack(recorder.taken[-1].delivery)
    behind = (await recorder.until(5))[-1]
    assert (behind.id, behind.delivery.redeliveries) == ("behind", 0)


async def test_what_was_in_hand_comes_again_in_order_and_before_the_rest(lasting: Rig) -> None:
    recorder = await lasting.consuming(prefetch=3, settles=False)
    await lasting.enqueue("t1", "t2", "t3", "t4", "t5")
    await recorder.until(3)
    await lasting.lose_connection()
    await recorder.until(6)
    recorder.settles = True
    for taken in recorder.taken[3:]:
        await lasting.broker.ack(taken.delivery)
    await recorder.until(8)
    assert [taken.id for taken in recorder.taken[3:]] == ["t1", "t2", "t3", "t4", "t5"]


async def test_a_released_task_comes_again(rig: Rig) -> None:
    recorder = await rig.consuming(settles=False)
    await rig.enqueue("t1")
    (first,) = await recorder.until(1)
    await rig.broker.release(first.delivery)
    _, again = await recorder.until(2)
    assert again.id == "t1"
    assert again.delivery.redeliveries == 1
    assert again.delivery.message == first.delivery.message


async def test_a_released_task_comes_before_what_was_not_handed_over_yet(rig: Rig) -> None:
    recorder = await rig.consuming(prefetch=3, settles=False)
    await rig.enqueue("t1", "t2", "t3", "t4", "t5")
    await recorder.until(3)
    await rig.broker.stop_consuming("q")
    for number in (2, 0, 1):
        await rig.broker.release(recorder.taken[number].delivery)
    again = await rig.consuming(prefetch=5, settles=False)
    await again.until(5)
    names = [taken.id for taken in again.taken]
    assert (sorted(names[:3]), names[3:]) == (["t1", "t2", "t3"], ["t4", "t5"])
    assert [taken.delivery.redeliveries for taken in again.taken] == [1, 1, 1, 0, 0]


async def test_no_more_than_the_prefetch_is_unsettled(rig: Rig) -> None:
    recorder = await rig.consuming(prefetch=3, settles=False)
    await rig.enqueue(*(f"t{number}" for number in range(8)))
    await recorder.until(3)
    await rig.broker.ack(recorder.taken[0].delivery)
    await recorder.until(4)
    await until_ready(rig, 4)
    assert len(recorder.taken) == 4


async def test_a_changed_prefetch_leaves_what_is_unsettled_settleable(rig: Rig) -> None:
    recorder = await rig.consuming(prefetch=1, settles=False)
    await rig.enqueue("t0", "t1", "t2")
    (first,) = await recorder.until(1)
    await rig.broker.consume("q", recorder, 2)
    await recorder.until(3)
    assert await rig.broker.ack(first.delivery) is True
    assert len(recorder.ids) == 3


async def test_a_changed_prefetch_hands_over_nothing_twice(rig: Rig) -> None:
    recorder = await rig.consuming(prefetch=5)
    names = [f"t{number}" for number in range(60)]
    publishing = asyncio.ensure_future(rig.enqueue(*names))
    for prefetch in (1, 7, 2, 50):
        await rig.broker.consume("q", recorder, prefetch)
        await asyncio.sleep(0)
    await publishing
    await recorder.until_ids(names)
    assert len(recorder.taken) == 60


async def test_a_queue_that_is_not_consumed_any_more_hands_over_nothing(rig: Rig) -> None:
    recorder = await rig.consuming(settles=False)
    await rig.enqueue("t1")
    (held,) = await recorder.until(1)
    await rig.broker.stop_consuming("q")
    await rig.enqueue("t2")
    await until_ready(rig, 1)
    assert recorder.ids == {"t1"}
    assert rig.broker.state().consuming == frozenset()
    assert await rig.broker.ack(held.delivery) is True
    assert [(each.queue, each.consuming) for each in rig.at_work.notes.of(ConsumingChanged)] == [
        ("q", True),
        ("q", False),
    ]


async def test_a_queue_that_is_consumed_again_goes_on_where_it_stopped(rig: Rig) -> None:
    recorder = await rig.consuming()
    await rig.broker.stop_consuming("q")
    await rig.enqueue("t1", "t2")
    again = await rig.consuming()
    await again.until(2)
    assert recorder.taken == []
    assert [taken.delivery.redeliveries for taken in again.taken] == [0, 0]


async def until_ready(rig: Rig, count: int) -> None:
    while await rig.ready("q") != count:  # noqa: ASYNC110 - the broker tells nobody
        await asyncio.sleep(0.05)


async def test_a_parked_task_of_a_stopped_queue_waits_in_its_queue(rig: Rig) -> None:
    recorder = await rig.consuming()
    await rig.broker.stop_consuming("q")
    await rig.broker.park(rig.at_work.envelope("t1", "q", 0.4))
    await until_ready(rig, 1)
    assert recorder.taken == []


async def test_what_ends_too_many_deliveries_is_parked_to_be_tried_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "WAIT_SECONDS", 0.5)
    recorder = await rig.consuming(settles=False)
    await rig.submit("q", b'{"url": "http://a.example"}', message_id="their-id")
    for count in range(apart.DELIVERY_LIMIT + 1):
        await rig.broker.release((await recorder.until(count + 1))[count].delivery)
    *ended, apart_from_others = await recorder.until(apart.DELIVERY_LIMIT + 2)
    counts = [taken.delivery.redeliveries for taken in ended]
    assert counts == list(range(apart.DELIVERY_LIMIT + 1))
    headers = apart_from_others.delivery.message.headers
    assert (headers["wr-id"], headers["wr-alone"]) == ("their-id", 1)
    assert apart_from_others.late >= 0
    assert len(rig.at_work.notes.of(Warned)) == 1


async def test_a_poisonous_message_that_is_no_task_is_set_aside_as_invalid(rig: Rig) -> None:
    recorder = await rig.consuming(settles=False)
    await rig.submit("q", b"no task")
    for count in range(apart.DELIVERY_LIMIT + 1):
        await rig.broker.release((await recorder.until(count + 1))[count].delivery)
    while not (letters := await rig.invalid("q")):  # noqa: ASYNC110 - the broker tells nobody
        await asyncio.sleep(0.05)
    assert [(kept.body, kept.headers["wr-error"]) for kept in letters] == [(b"no task", "not_json")]
    assert len(recorder.taken) == apart.DELIVERY_LIMIT + 1
