"""A worker has its portion of a queue, which may be nothing, and may change."""

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from webhook_runner.policy.division import Portion
from webhook_runner.process.workers.allotment import divided
from webhook_runner.settings import QueueSettings

NOTHING = Portion()


class Mine:
    """What this worker has of the one queue."""

    def __init__(self, portion: Portion) -> None:
        self.portion = portion

    def __call__(self, _name: str, queue: QueueSettings) -> QueueSettings:
        return divided(queue, self.portion)


def slots(number: int) -> Portion:
    return Portion(number, float("inf"))


async def test_a_queue_of_which_a_worker_has_nothing_is_left_to_the_others(
    start: StartWorld,
) -> None:
    mine = Mine(NOTHING)
    world = await start(whole={"divide": mine})
    world.send()
    await world.settle()
    assert world.broker.ready("default") == 1
    assert world.consumer.condition(consumed=False) == "other workers"

    mine.portion = slots(1)
    await world.engine.heed_portions()
    await world.settle()
    assert (world.broker.ready("default"), len(world.dispatcher.urls)) == (0, 1)


async def test_no_more_run_than_a_worker_has_slots(start: StartWorld) -> None:
    mine = Mine(slots(2))
    world = await start(concurrency=10, whole={"divide": mine})
    world.dispatcher.will(*[Hang() for _ in range(8)])
    for _ in range(8):
        world.send()
    await world.settle()
    assert world.lanes["default"].running == 2

    mine.portion = slots(5)
    await world.engine.heed_portions()
    await world.settle()
    assert world.lanes["default"].running == 5


async def test_what_waits_in_a_worker_that_loses_its_portion_is_given_back(
    start: StartWorld,
) -> None:
    mine = Mine(slots(1))
    world = await start(concurrency=10, whole={"divide": mine})
    world.dispatcher.will(*[Hang() for _ in range(4)])
    for _ in range(4):
        world.send()
    await world.settle()
    mine.portion = NOTHING
    await world.engine.heed_portions()
    await world.settle()
    assert world.lanes["default"].running == 1  # what runs goes on
    assert world.broker.ready("default") == 3


async def test_a_queue_that_is_steered_keeps_to_the_portion(start: StartWorld) -> None:
    mine = Mine(slots(2))
    world = await start(concurrency=10, whole={"divide": mine}, company=True)
    await world.control.queues.change("default", {"concurrency": 50, "timeout": 7})
    found = world.lanes["default"].settings
    assert (found.concurrency, found.timeout) == (2, 7)
