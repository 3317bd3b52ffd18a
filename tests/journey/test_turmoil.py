"""Random faults at random moments: nothing is lost, nothing ends twice, no copy is sent twice."""

import random
from collections import Counter

import pytest

from tests.fakes.clock import FakeClock
from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import AttemptFinished, TaskFailed, TaskSucceeded, Warned
from webhook_runner.task.model import Envelope, Kind
from webhook_runner.task.outcome import Outcome, Refused, Responded, TimedOut, Trouble, Unreachable
from webhook_runner.task.record import RollbackState, TaskQuery
from webhook_runner.task.request import Request
from webhook_runner.task.state import TaskState

NONE, MEMORY = "none", "sqlite::memory:"

OUTCOMES: list[Outcome] = [
    Responded(200),
    Responded(200),
    Responded(500),
    Responded(429, {"retry-after": "7"}),
    Responded(503, {"webhook-runner-retry": "snooze=3"}),
    Responded(404),
    TimedOut(1.0),
    Unreachable(Trouble.RESET, sent=True),
    Refused("egress"),
]


class FickleDispatcher:
    """Takes a random while to meet with a random outcome."""

    def __init__(self, clock: FakeClock, dice: random.Random) -> None:
        self.sent: list[Envelope] = []
        self._clock = clock
        self._dice = dice

    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        self.sent.append(envelope)
        assert self._clock.now() >= envelope.due_at
        await self._clock.sleep(self._dice.choice([0, 0.01, 1, 20]))
        return self._dice.choice(OUTCOMES)

    async def close(self) -> None:
        return


async def trouble(world: World, dice: random.Random) -> None:
    """Let one random thing happen."""
    consumer = dice.choice(list(world.consumers.values()))
    match dice.randrange(8):
        case 0 | 1:
            world.broker.lose_connection()
        case 2:
            world.broker.block(blocked=True)
        case 3:
            world.broker.block(blocked=False)
        case 4:
            await consumer.pause()
        case 5:
            await consumer.resume()
        case 6:
            settings = consumer.lane.settings.model_copy(update={"concurrency": dice.randint(1, 5)})
            await consumer.reconfigure(settings, "http://app.test")
        case _:
            await world.clock.advance(dice.choice([0.0, 0.3, 2.0, 30.0]))


def publish(world: World, dice: random.Random, number: int) -> None:
    fields = {
        "url": f"http://h{number % 3}.test/x",
        "max_retries": dice.choice([0, 1, 4]),
        "metadata": number,  # tells apart those that have no id
        "roll_back": dice.choice([None, "/undo"]),
        "countdown": dice.choice([None, 0, 0.5, 1.2, 40]),
        "queue": dice.choice([None, "a", "b"]),
    }
    if dice.random() < 0.6:
        fields["id"] = f"t{number}"
    world.send(fields, to=dice.choice(["a", "b"]))


@pytest.mark.parametrize(("counts", "store"), [(True, NONE), (False, MEMORY), (True, MEMORY)])
@pytest.mark.parametrize("seed", range(12))
async def test_every_task_ends_once_and_no_copy_is_sent_twice(
    start: StartWorld, seed: int, store: str, *, counts: bool
) -> None:
    dice = random.Random(seed)
    most = 1 + 39 * (seed % 2)  # few: the innocent become suspects too
    common = QueueSettings(
        jitter=0, rollback_retry_limit=2, max_redeliveries=most, retry_on="smart"
    )
    queues = {"a": common, "b": common.model_copy(update={"concurrency": 2, "rate": 5.0})}
    world = await start(queues, counts=counts, store=store, whole={"default_queue": "a"})
    fickle = FickleDispatcher(world.clock, dice)
    world.executor._dispatcher = fickle
    for number in range(25):
        publish(world, dice, number)
        await trouble(world, dice)
    for _ in range(40):
        await trouble(world, dice)
    world.broker.block(blocked=False)
    for consumer in world.consumers.values():
        await consumer.resume()
    await world.clock.advance(20_000)

    assert world.is_idle()
    assert world.observer.all(Warned) == []
    ended: list[TaskSucceeded | TaskFailed] = [
        *world.observer.all(TaskSucceeded),
        *world.observer.all(TaskFailed),
    ]
    tasks = Counter(e.envelope.task.metadata for e in ended if e.envelope.kind is Kind.TASK)
    assert tasks == {str(number).encode(): 1 for number in range(25)}
    undone = [e for e in world.observer.all(TaskFailed) if e.rolled_back]
    rollbacks = Counter(e.envelope.task.id for e in ended if e.envelope.kind is Kind.ROLLBACK)
    assert sorted(rollbacks) == sorted(f"{event.envelope.task.id}~rb" for event in undone)
    assert set(rollbacks.values()) <= {1}
    assert max(Counter(envelope.key for envelope in fickle.sent).values()) == 1
    if store != NONE:
        await agrees(world, ended)


async def agrees(world: World, ended: list[TaskSucceeded | TaskFailed]) -> None:
    """The store knows each task as it ended, by as many attempts, and of no other."""
    page = await world.store.tasks(TaskQuery(limit=1000))
    known = {(each.id, each.run): each for each in page.tasks}
    for event in ended:
        task, run = event.envelope.task, event.envelope.run
        record = known.pop((task.id, run))
        if isinstance(event, TaskSucceeded):
            assert record.state is TaskState.SUCCEEDED
            assert record.last_status == event.status
        else:
            assert (record.state, record.reason) == (TaskState.FAILED, event.failure.reason)
            undone = (
                {RollbackState.DELIVERED, RollbackState.FAILED} if event.rolled_back else {None}
            )
            assert record.rollback in undone
        made = await world.store.attempts(task.id, run)
        sent = [
            each
            for each in world.observer.all(AttemptFinished)
            if each.envelope.key[:2] == (task.id, run)
        ]
        assert len(made) == len({(each.envelope.gen, each.envelope.turn) for each in sent})
    assert known == {}
