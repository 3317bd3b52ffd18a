"""A process that has run out of memory, threads or file handles: tasks wait, none is set aside."""

import errno

import pytest

from tests.journey.conftest import StartWorld
from webhook_runner.task.event import AttemptStarted, TaskSucceeded, Warned

WANTING = [
    MemoryError(),
    OSError(errno.EMFILE, "Too many open files"),
    RuntimeError("can't start new thread"),
]


@pytest.mark.parametrize("error", WANTING)
@pytest.mark.parametrize("counts", [True, False])
async def test_what_meets_it_before_its_request_is_carried_anew_as_the_same_run(
    start: StartWorld, error: Exception, *, counts: bool
) -> None:
    world = await start(counts=counts, store="sqlite::memory:", dedup=True)
    store, left = world.executor._redeliveries._store, [error] * 30
    usable = store.usable

    async def starved() -> None:
        if left:
            raise left.pop()
        await usable()

    world.executor._store.usable = starved  # type: ignore[method-assign]
    world.send({"url": "/x", "id": "t"})
    await world.at(20)
    assert world.dispatcher.sent == []
    await world.at(40)
    assert world.dispatcher.urls == ["http://app.test/x"]
    assert len(world.observer.all(TaskSucceeded)) == 1
    assert not world.observer.last(AttemptStarted).envelope.doubtful
    assert (world.broker.invalid, world.broker.dead) == ([], [])
    assert "has run out" in world.observer.last(Warned).text
    assert world.is_idle()


async def test_what_meets_it_in_its_request_comes_again_a_second_later(start: StartWorld) -> None:
    world = await start()
    world.dispatcher.will(*[MemoryError()] * 5)
    world.send({"url": "/x", "id": "t"})
    await world.at(3.5)
    assert len(world.dispatcher.sent) == 4
    await world.at(10)
    assert len(world.dispatcher.sent) == 6
    assert world.observer.last(AttemptStarted).envelope.doubtful
    assert len(world.observer.all(TaskSucceeded)) == 1
    assert world.is_idle()
