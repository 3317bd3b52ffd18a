"""Dead letters and invalid messages: looked at, run again, dropped."""

import json

import pytest

from tests.journey.conftest import StartWorld
from tests.journey.world import World
from webhook_runner.engine.aside_control import AsideFilter, Replayed
from webhook_runner.errors import UnknownTaskError
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Kind
from webhook_runner.task.notice import Aside
from webhook_runner.task.outcome import Responded

DEAD, INVALID = Aside.DEAD, Aside.INVALID


async def accept(world: World, **fields: object) -> None:
    await world.intake.accept(json.dumps({"url": "/x", **fields}).encode())
    await world.settle()


async def with_dead(start: StartWorld, count: int = 3, **queue: object) -> World:
    """A world with the dead letters t0, t1, ... a second apart; /0 answered 500, /1 501, ..."""
    world = await start(company=True, retry_limit=0, **queue)
    for number in range(count):
        world.dispatcher.will(Responded(500 + number), url=f"http://app.test/{number}")
        await accept(world, id=f"t{number}", url=f"/{number}", payload=f"p{number}")
        await world.at(number + 1)
    return world


async def replay(
    world: World, aside: Aside = DEAD, which: AsideFilter | None = None, **how: object
) -> list[Replayed]:
    replaying = world.control.asides.replay(aside, "default", which or AsideFilter(), **how)  # type: ignore[arg-type]
    return [each async for each in replaying]


async def test_dead_letters_are_shown_page_by_page(start: StartWorld) -> None:
    world = await with_dead(start, 5)
    asides = world.control.asides
    first, after = await asides.page(DEAD, "default", limit=2)
    second, after = await asides.page(DEAD, "default", limit=2, after=after)
    third, last = await asides.page(DEAD, "default", limit=2, after=after)
    assert [view.id for view in (*first, *second, *third)] == ["t0", "t1", "t2", "t3", "t4"]
    assert last == ""
    view = first[0]
    assert (view.reason, view.last_status, view.attempts) == ("retries_exhausted", 500, 1)
    assert (view.url, view.method, view.kind) == ("/0", "POST", Kind.TASK)
    assert view.body is None


async def test_a_page_goes_on_after_a_letter_that_is_gone(start: StartWorld) -> None:
    world = await with_dead(start)
    (view,), after = await world.control.asides.page(DEAD, "default", limit=1)
    assert await world.control.asides.drop(
        DEAD, "default", AsideFilter(letters=frozenset({view.letter}))
    )
    rest, _ = await world.control.asides.page(DEAD, "default", after=after)
    assert [view.id for view in rest] == ["t1", "t2"]


async def test_one_letter_is_shown_whole(start: StartWorld) -> None:
    world = await with_dead(start)
    views, _ = await world.control.asides.page(DEAD, "default")
    view = await world.control.asides.show(DEAD, "default", views[1].letter)
    assert view.body == b'{"url": "/1", "id": "t1", "payload": "p1"}'
    assert json.loads(view.summary)["last_status"] == 501
    with pytest.raises(UnknownTaskError):
        await world.control.asides.show(DEAD, "default", "none")


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        ({"ids": frozenset({"t1"})}, ["t1"]),
        ({"reason": "retries_exhausted"}, ["t0", "t1", "t2"]),
        ({"reason": "expired"}, []),
        ({"status": 502}, ["t2"]),
        ({"url_prefix": "/1"}, ["t1"]),
        ({"since": 1.0}, ["t1", "t2"]),
        ({"until": 1.0}, ["t0"]),
    ],
)
async def test_letters_are_chosen_by_what_is_known_of_them(
    start: StartWorld, which: dict[str, object], ids: list[str]
) -> None:
    world = await with_dead(start)
    for bound in ("since", "until"):
        if bound in which:
            which = {bound: world.start + float(str(which[bound]))}
    chosen = AsideFilter(**which)  # type: ignore[arg-type]
    exported = [view async for view in world.control.asides.export(DEAD, "default", chosen)]
    assert [view.id for view in exported] == ids
    assert await world.control.asides.drop(DEAD, "default", chosen) == len(ids)
    left, _ = await world.control.asides.page(DEAD, "default")
    assert len(left) == 3 - len(ids)


async def test_all_are_dropped_when_none_is_named(start: StartWorld) -> None:
    world = await with_dead(start)
    assert await world.control.asides.drop(DEAD, "default") == 3


async def test_a_dead_letter_runs_again_as_a_new_run(start: StartWorld) -> None:
    world = await with_dead(start)
    before = [envelope.run for envelope, _ in world.broker.dead]
    done = await replay(world)
    await world.settle()
    assert [each.id for each in done] == ["t0", "t1", "t2"]
    assert all(
        each.run is not None and each.run > run for each, run in zip(done, before, strict=True)
    )
    assert world.dispatcher.bodies[3:] == [b"p0", b"p1", b"p2"]
    assert (await world.control.asides.page(DEAD, "default"))[0] == []


async def test_what_dies_again_is_not_run_again_by_the_same_replay(start: StartWorld) -> None:
    world = await with_dead(start)
    for number in range(3):
        world.dispatcher.will(*[Responded(500)] * 5, url=f"http://app.test/{number}")
    assert len(await replay(world)) == 3
    await world.settle()
    assert len((await world.control.asides.page(DEAD, "default"))[0]) == 3


async def test_a_dry_run_only_tells(start: StartWorld) -> None:
    world = await with_dead(start)
    done = await replay(world, which=AsideFilter(status=501), dry_run=True)
    assert [(each.id, each.run, each.error) for each in done] == [("t1", None, "")]
    assert len((await world.control.asides.page(DEAD, "default"))[0]) == 3


async def test_an_edit_changes_what_it_names_and_no_other_byte(start: StartWorld) -> None:
    world = await start(company=True, retry_limit=0)
    world.dispatcher.will(Responded(500))
    source = b'{"id": "t", "url": "/bad", "payload": {"n": 1.50, "a": "\\u00e4"}, "metadata": 1}'
    await world.intake.accept(source)
    await world.settle()
    await replay(world, edit=b'{"url": "/good", "headers": {"X-A": "1"}, "metadata": null}')
    await world.settle()
    request, envelope = world.dispatcher.sent[-1]
    assert request.url == "http://app.test/good"
    assert request.headers["X-A"] == "1"
    assert request.body == b'{"n": 1.50, "a": "\\u00e4"}'
    assert envelope.task.metadata is None


async def test_an_edit_that_makes_no_task_is_told_and_the_letter_stays(start: StartWorld) -> None:
    world = await with_dead(start, 1)
    (done,) = await replay(world, edit=b'{"url": 7}')
    assert "url" in done.error
    assert len((await world.control.asides.page(DEAD, "default"))[0]) == 1


async def test_letters_run_again_in_another_queue(start: StartWorld) -> None:
    queues = {"default": QueueSettings(retry_limit=0), "other": QueueSettings()}
    world = await start(queues, company=True)
    world.dispatcher.will(Responded(500))
    await accept(world, id="t", queue="default")
    await replay(world, to_queue="other")
    await world.settle()
    assert world.dispatcher.sent[-1][1].task.queue == "other"


async def test_a_replay_keeps_to_its_rate(start: StartWorld) -> None:
    world = await with_dead(start)
    began = world.since_start()
    replaying = world.spawn(replay(world, rate=0.5))
    await world.at(began + 1)
    assert len(world.dispatcher.sent) == 4
    await world.at(began + 10)
    assert len(await replaying) == 3


async def test_a_dead_roll_back_runs_again_as_one(start: StartWorld) -> None:
    world = await start(company=True, retry_limit=0, rollback_retry_limit=0)
    world.dispatcher.will(Responded(500), Responded(502))
    await accept(world, id="t", roll_back="/undo")
    (done,) = await replay(world, which=AsideFilter(ids=frozenset({"t~rb"})))
    await world.settle()
    request = world.dispatcher.sent[-1][0]
    assert request.headers["Webhook-Runner-Event"] == "rollback"
    assert request.headers["Webhook-Runner-Failure-Reason"] == "retries_exhausted"
    assert request.body == world.dispatcher.bodies[1]
    assert done.id == "t~rb"


async def test_an_invalid_message_is_shown_mended_and_taken(start: StartWorld) -> None:
    world = await start(company=True)
    world.send({"id": "t", "payload": 1})
    world.send(b"no JSON")
    await world.settle()
    views, _ = await world.control.asides.page(INVALID, "default")
    assert [(view.reason, view.field, view.id) for view in views] == [
        ("missing_field", "url", "t"),
        ("not_json", "", ""),
    ]
    done = await replay(world, INVALID, edit=b'{"url": "/x"}')
    await world.settle()
    assert done[0].run is not None
    assert "no JSON object" in done[1].error
    assert world.dispatcher.bodies == [b"1"]
    left, _ = await world.control.asides.page(INVALID, "default")
    assert [view.reason for view in left] == ["not_json"]
