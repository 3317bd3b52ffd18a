"""What the engine notes of tasks makes one state of them, in whatever order it is written."""

import random

import pytest
from msgspec.structs import asdict

from tests.contract.store_rig import open_store
from tests.journey.conftest import StartWorld
from tests.journey.test_turmoil import MEMORY, FickleDispatcher, publish, trouble
from tests.journey.world import World
from webhook_runner.settings import QueueSettings
from webhook_runner.task.record import Entry, TaskQuery


def watched(world: World) -> list[Entry]:
    """Return the list that everything noted from now on is put into."""
    noted: list[Entry] = []
    ledger = world.store._ledger  # type: ignore[attr-defined]
    note = ledger.note

    def note_and_keep(entry: Entry) -> None:
        noted.append(entry)
        note(entry)

    ledger.note = note_and_keep
    return noted


async def known(noted: list[Entry], dice: random.Random) -> list[dict[str, object]]:
    """Note all this in a store of its own, some at a time; return what it then knows."""
    async with open_store(MEMORY) as rig:
        await rig.store.usable()
        for entry in noted:
            rig.store.record(entry)
            if dice.random() < 0.3:
                await rig.store.kept()
        page = await rig.store.tasks(TaskQuery(limit=1000))
        made = {each.id: await rig.store.attempts(each.id, each.run) for each in page.tasks}
    rows = sorted(page.tasks, key=lambda each: (each.id, each.run))
    return [asdict(row) | {"attempts": made[row.id]} for row in rows]


@pytest.mark.parametrize("seed", range(4))
async def test_the_state_of_tasks_does_not_depend_on_the_order_of_what_is_noted(
    start: StartWorld, seed: int
) -> None:
    dice = random.Random(seed)
    common = QueueSettings(jitter=0, rollback_retry_limit=2, max_redeliveries=40, retry_on="smart")
    queues = {"a": common, "b": common.model_copy(update={"concurrency": 2})}
    world = await start(queues, store=MEMORY, whole={"default_queue": "a"})
    world.executor._dispatcher = FickleDispatcher(world.clock, dice)
    noted = watched(world)
    for number in range(25):
        publish(world, dice, number)
        await trouble(world, dice)
    world.broker.block(blocked=False)
    for consumer in world.consumers.values():
        await consumer.resume()
    await world.clock.advance(5)  # some have ended, and some have not

    expected = await known(noted, dice)
    assert len({row["state"] for row in expected}) > 1
    for _ in range(5):
        shuffled = dice.sample(noted, len(noted))
        twice = [*shuffled, *dice.sample(noted, len(noted) // 2)]
        assert await known(twice, dice) == expected
