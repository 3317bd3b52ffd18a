"""Suspects of killing the process: one at a time, so that a death is blamed on one alone."""

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from webhook_runner.policy.admission import ALONE_PAUSE, ALONE_TURN, ALONE_WAIT
from webhook_runner.task.event import TaskScheduled


async def test_suspects_that_come_together_run_one_after_the_other(start: StartWorld) -> None:
    world = await start(jitter=0)
    first, second = Hang(), Hang()
    for name, hang in (("one", first), ("two", second)):
        url = f"http://app.test/{name}"
        world.dispatcher.will(*[ZeroDivisionError()] * 11, hang, url=url)
        world.send({"url": f"/{name}", "id": name})
    await world.settle()
    assert [event.why for event in world.observer.all(TaskScheduled)] == ["suspect"] * 2

    await world.at(ALONE_WAIT + ALONE_PAUSE)
    assert world.dispatcher.running == 1
    sent_away = world.observer.last(TaskScheduled)
    assert sent_away.envelope.alone == 1
    assert sent_away.until == world.start + ALONE_WAIT + ALONE_TURN
    first.answer()
    await world.settle()
    assert world.is_idle() is False

    await world.at(ALONE_WAIT + ALONE_TURN + ALONE_PAUSE)
    second.answer()
    await world.settle()
    assert world.is_idle()
    assert world.dispatcher.running == 0
    assert not world.broker.dead
