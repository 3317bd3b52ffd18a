"""The delay wheel on a real RabbitMQ, under everything that can go wrong with either of them."""

import asyncio
import itertools
import random
from collections import Counter

import pytest

from tests.parts import publisher
from tests.parts.node import RabbitNode
from tests.parts.running_broker import Running, until
from tests.parts.running_rabbit import quick, running
from webhook_runner.broker.amqp import sweep
from webhook_runner.broker.amqp.channel import Outgoing
from webhook_runner.broker.amqp.hands import LONGEST_SLEEP
from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.policy.delay import Wheel
from webhook_runner.task.event import BrokerBlocked, BrokerConnected, BrokerLost, BrokerUnblocked

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(120)]

# A lap of the finest ring takes 6.4 s; from 4.1 s on a task waits on the second level.
TENTH = Wheel.scaled(0.1)
# A lap takes 0.64 s; from 0.41 s on the second level, from 13.1 s on the third.
HUNDREDTH = Wheel.scaled(0.01)

_prefixes = itertools.count()


@pytest.fixture
def prefix() -> str:
    """Give each test slots of its own: levels of different widths must not share them."""
    return f"w{next(_prefixes)}"


@pytest.fixture(autouse=True)
def _sweeps_in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "EVERY_SECONDS", 1.0)
    monkeypatch.setattr(sweep, "OPENS_SOON_SECONDS", 0.05)


async def park_all(at_work: Running[RabbitBroker], queue: str, waits: dict[str, float]) -> None:
    await asyncio.gather(
        *(at_work.broker.park(at_work.envelope(name, queue, wait)) for name, wait in waits.items())
    )


def spread(count: int, low: float, high: float) -> dict[str, float]:
    dice = random.Random(7)
    return {f"t{number}": dice.uniform(low, high) for number in range(count)}


async def test_tasks_come_back_once_on_time_and_none_early(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(own_node.url, (prefix,), settings=quick(prefix=prefix)) as at_work:
        recorder = await at_work.consuming(prefix)
        waits = spread(2000, 1.0, 5.0)
        await park_all(at_work, prefix, waits)
        await recorder.until_ids(waits)
        late = sorted(each.late for each in recorder.taken)
        assert late[0] >= 0
        assert late[len(late) // 2] < 1.0
        assert len(recorder.taken) == len(waits)


async def test_longer_waits_pass_through_two_and_three_levels(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(
        own_node.url, (prefix,), wheel=HUNDREDTH, settings=quick(prefix=prefix)
    ) as at_work:
        recorder = await at_work.consuming(prefix)
        waits = spread(100, 0.5, 3.0) | {f"far{n}": 14.0 + n / 10 for n in range(10)}
        await park_all(at_work, prefix, waits)
        await recorder.until_ids(waits)
        assert min(each.late for each in recorder.taken) >= 0
        assert await asyncio.to_thread(publisher.depth, own_node.url, f"{prefix}.wait.2.63") == 0


async def test_the_ring_wraps_without_losing_a_task(own_node: RabbitNode, prefix: str) -> None:
    async with running(
        own_node.url, (prefix,), wheel=HUNDREDTH, settings=quick(prefix=prefix)
    ) as at_work:
        recorder = await at_work.consuming(prefix)
        names: list[str] = []
        for lap in range(20):
            waits = {f"{lap}-{n}": 0.05 + n * 0.035 for n in range(10)}
            names += waits
            await park_all(at_work, prefix, waits)
            await asyncio.sleep(0.1)
        await recorder.until_ids(names)
        assert min(each.late for each in recorder.taken) >= 0


async def test_nothing_is_lost_when_the_broker_is_killed_while_the_wheel_turns(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(own_node.url, (prefix,), settings=quick(prefix=prefix)) as at_work:
        recorder = await at_work.consuming(prefix)
        waits = spread(1000, 0.5, 6.0)
        await park_all(at_work, prefix, waits)
        await recorder.until(100)
        own_node.kill()
        await at_work.notes.until(BrokerLost)
        await asyncio.to_thread(own_node.restart)
        await recorder.until_ids(waits)
        assert min(each.late for each in recorder.taken) >= 0
        assert len(at_work.notes.of(BrokerLost)) == 1


async def test_tasks_that_came_due_while_all_daemons_were_down_come_at_once_on_return(
    own_node: RabbitNode, prefix: str
) -> None:
    settings = quick(prefix=prefix)
    waits = spread(300, 0.2, 0.4)
    async with running(own_node.url, (prefix,), wheel=HUNDREDTH, settings=settings) as first:
        await park_all(first, prefix, waits)
    await asyncio.sleep(2 * 0.64)
    async with running(own_node.url, (prefix,), wheel=HUNDREDTH, settings=settings) as second:
        recorder = await second.consuming(prefix)
        await recorder.until_ids(waits)
        assert min(each.late for each in recorder.taken) >= 0


async def test_three_daemons_share_a_slot_and_each_task_comes_once(
    own_node: RabbitNode, prefix: str
) -> None:
    settings = quick(prefix=prefix)
    async with (
        running(own_node.url, (prefix,), settings=settings) as one,
        running(own_node.url, (prefix,), settings=settings) as two,
        running(own_node.url, (prefix,), settings=settings) as three,
    ):
        recorders = [await each.consuming(prefix) for each in (one, two, three)]
        waits = spread(600, 2.0, 2.9)
        await park_all(one, prefix, waits)
        await until(
            lambda: sum(len(recorder.taken) for recorder in recorders) >= len(waits), "all tasks"
        )
        came = Counter(taken.id for recorder in recorders for taken in recorder.taken)
        assert came == Counter(waits.keys())
        assert all(taken.late >= 0 for recorder in recorders for taken in recorder.taken)


async def test_what_moves_on_while_the_broker_is_drained_is_there_once(
    own_node: RabbitNode, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(own_node.url, (prefix,), settings=quick(prefix=prefix)) as at_work:
        parts = at_work.broker._parts
        assert parts is not None
        publish, published = parts.session.publish, asyncio.Event()

        async def publish_and_learn_late(out: Outgoing) -> None:
            await publish(out)
            published.set()
            await asyncio.sleep(LONGEST_SLEEP + 0.2)  # till then the wheel has seen its end

        await at_work.broker.park(at_work.envelope("t", prefix, 1.4))
        monkeypatch.setattr(parts.session, "publish", publish_and_learn_late)
        async with asyncio.timeout(20):
            await published.wait()  # on to its queue, for nobody takes it here

    depths = await asyncio.to_thread(own_node.queue_depths)
    left = {name: n for name, n in depths.items() if name.startswith(prefix) and any(n)}
    assert left == {prefix: (1, 0)}


async def test_a_park_that_lands_after_its_slot_has_closed_is_swept_before_it_returns(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(
        own_node.url, (prefix,), wheel=HUNDREDTH, settings=quick(prefix=prefix)
    ) as at_work:
        recorder = await at_work.consuming(prefix)
        own_node.pause()
        parked = asyncio.ensure_future(at_work.broker.park(at_work.envelope("t1", prefix, 0.3)))
        await asyncio.sleep(1.0)
        own_node.resume()
        await parked
        (taken,) = await recorder.until(1)
        assert taken.late >= 0


async def test_a_slot_that_cannot_drain_in_time_loses_nothing_and_repeats_no_park(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(
        own_node.url, (prefix,), wheel=HUNDREDTH, settings=quick(prefix=prefix)
    ) as at_work:
        recorder = await at_work.consuming(prefix, busy=True)
        waits = spread(2000, 0.1, 0.3)
        later = {f"later{n}": 0.5 + n / 1000 for n in range(300)}
        await park_all(at_work, prefix, waits)
        await park_all(at_work, prefix, later)
        await recorder.until_ids([*waits, *later])
        assert min(each.late for each in recorder.taken) >= 0
        assert len(recorder.taken) == len(waits) + len(later)


async def test_a_flood_of_large_tasks_is_held_within_the_budget_of_bytes(
    own_node: RabbitNode, prefix: str
) -> None:
    settings = quick(prefix=prefix, wheel_memory_bytes=4 * 1_048_576)
    async with running(own_node.url, (prefix,), settings=settings) as at_work:
        recorder = await at_work.consuming(prefix)
        body = b'{"url":"http://a.example"}' + b" " * 1_048_000
        for number in range(40):
            await at_work.broker.park(at_work.envelope(f"t{number}", prefix, 5.0, body))
        assert at_work.broker.held_bytes() <= 5 * 1_048_576
        await recorder.until_ids(f"t{number}" for number in range(40))
        assert min(each.late for each in recorder.taken) >= 0


async def test_a_deleted_slot_is_declared_anew_and_takes_tasks_again(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(
        own_node.url, (prefix,), wheel=TENTH, settings=quick(prefix=prefix)
    ) as at_work:
        recorder = await at_work.consuming(prefix)
        for position in range(0, 64, 4):
            await asyncio.to_thread(own_node.delete_queue, f"{prefix}.wait.0.{position}")
        waits = spread(100, 0.5, 3.9)
        await park_all(at_work, prefix, waits)
        await recorder.until_ids(waits)
        assert min(each.late for each in recorder.taken) >= 0


async def test_nothing_is_lost_when_all_connections_are_closed(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(own_node.url, (prefix,), settings=quick(prefix=prefix)) as at_work:
        recorder = await at_work.consuming(prefix)
        waits = spread(500, 0.5, 4.0)
        await park_all(at_work, prefix, waits)
        await asyncio.to_thread(own_node.close_all_connections)
        await at_work.notes.until(BrokerConnected, 2)
        await recorder.until_ids(waits)
        assert min(each.late for each in recorder.taken) >= 0


async def test_during_a_memory_alarm_publishes_wait_acks_go_on_and_nothing_is_lost(
    own_node: RabbitNode, prefix: str
) -> None:
    settings = quick(prefix=prefix, confirm_timeout=2)
    async with running(own_node.url, (prefix,), settings=settings) as at_work:
        recorder = await at_work.consuming(prefix, settles=False)
        await at_work.broker.enqueue(at_work.envelope("before", prefix))
        (before,) = await recorder.until(1)
        await asyncio.to_thread(own_node.memory_alarm, on=True)
        publish = asyncio.ensure_future(at_work.broker.enqueue(at_work.envelope("during", prefix)))
        await at_work.notes.until(BrokerBlocked)
        assert at_work.broker.state().blocked
        assert await at_work.broker.ack(before.delivery)
        writable = asyncio.ensure_future(at_work.broker.writable())
        await asyncio.sleep(3)
        assert not publish.done()
        assert not writable.done()
        await asyncio.to_thread(own_node.memory_alarm, on=False)
        await at_work.notes.until(BrokerUnblocked)
        await asyncio.gather(publish, writable)
        await recorder.until_ids(["during"])
        assert at_work.notes.of(BrokerLost) == []
        assert Counter(taken.id for taken in recorder.taken)["before"] == 1


async def test_a_deleted_work_queue_is_consumed_again_within_seconds(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(own_node.url, (prefix,), settings=quick(prefix=prefix)) as at_work:
        recorder = await at_work.consuming(prefix)
        await asyncio.to_thread(own_node.delete_queue, prefix)
        await until(lambda: prefix in at_work.broker.state().consuming, "consuming again", 5)
        await at_work.broker.enqueue(at_work.envelope("t1", prefix))
        await recorder.until_ids(["t1"])


async def test_a_clock_set_back_makes_nothing_early_and_loses_nothing(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(
        own_node.url, (prefix,), wheel=TENTH, settings=quick(prefix=prefix)
    ) as at_work:
        recorder = await at_work.consuming(prefix)
        waits = spread(100, 1.0, 3.0)
        await park_all(at_work, prefix, waits)
        at_work.clock.ahead = -3.0
        await recorder.until_ids(waits)
        assert min(each.late for each in recorder.taken) >= 0


async def test_after_a_clock_set_forward_what_is_overdue_comes_at_once(
    own_node: RabbitNode, prefix: str
) -> None:
    async with running(
        own_node.url, (prefix,), wheel=TENTH, settings=quick(prefix=prefix)
    ) as at_work:
        recorder = await at_work.consuming(prefix)
        waits = spread(100, 100.0, 200.0)
        await park_all(at_work, prefix, waits)
        at_work.clock.ahead = 3600.0
        await recorder.until_ids(waits)
        assert min(each.late for each in recorder.taken) >= 0


async def test_a_task_without_a_queue_waits_aside_until_its_queue_is_ours(
    own_node: RabbitNode, prefix: str
) -> None:
    settings = quick(prefix=prefix)
    async with running(own_node.url, (prefix,), settings=settings) as without:
        await without.broker.enqueue(without.envelope("t1", f"{prefix}-new"))
    async with running(own_node.url, (f"{prefix}-new",), settings=settings) as owner:
        recorder = await owner.consuming(f"{prefix}-new")
        await recorder.until_ids(["t1"])
