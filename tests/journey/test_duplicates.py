"""Of equal tasks the first is run: told by the id, by a key, for as long as its window lasts."""

import json

import pytest

from tests.fakes.dispatcher import Hang
from tests.journey.conftest import StartWorld
from tests.journey.test_redelivery import dies_at, heir, states
from tests.journey.world import World
from webhook_runner.engine.duplicates import Duplicate
from webhook_runner.engine.intake import Answer
from webhook_runner.errors import BrokerUnavailableError, ConflictError, InvalidTaskError
from webhook_runner.task.event import TaskDropped
from webhook_runner.task.model import Envelope, Message, Task
from webhook_runner.task.progress import progress_headers

MEMORY = "sqlite::memory:"


def body(**fields: object) -> bytes:
    return json.dumps({"url": "/x", **fields}).encode()


async def handed_in(world: World, *bodies: bytes, key: str = "") -> list[Answer]:
    return await world.intake.accept_many(bodies, keys=[key] * len(bodies) if key else ())


class TestByRequest:
    async def test_an_id_is_taken_once_and_answered_with_its_run(self, start: StartWorld) -> None:
        world = await start(store=MEMORY)
        (first,) = await handed_in(world, body(id="t1"))
        (second,) = await handed_in(world, body(id="t1"))
        await world.settle()
        assert isinstance(first, Envelope)
        assert second == Duplicate("t1", first.run, "default")
        assert len(world.dispatcher.sent) == 1

    async def test_an_id_does_not_stand_for_other_content(self, start: StartWorld) -> None:
        world = await start(store=MEMORY)
        await handed_in(world, body(id="t1"))
        (other,) = await handed_in(world, body(id="t1", payload="more"))
        assert isinstance(other, ConflictError)
        assert "'t1'" in str(other)

    async def test_an_id_is_free_again_after_the_window(self, start: StartWorld) -> None:
        world = await start(store=MEMORY, dedup_window=60)
        await handed_in(world, body(id="t1"))
        await world.at(61)
        (again,) = await handed_in(world, body(id="t1"))
        await world.settle()
        assert isinstance(again, Envelope)
        assert len(world.dispatcher.sent) == 2

    async def test_of_equal_tasks_in_one_request_one_is_taken(self, start: StartWorld) -> None:
        world = await start(store=MEMORY)
        first, second = await handed_in(world, body(id="t1"), body(id="t1"))
        await world.settle()
        assert {type(first), type(second)} == {Envelope, Duplicate}
        assert len(world.dispatcher.sent) == 1

    async def test_a_key_of_the_request_stands_for_its_task(self, start: StartWorld) -> None:
        world = await start(store=MEMORY)
        (first,) = await handed_in(world, body(), key="k")
        (second,) = await handed_in(world, body(), key="k")
        (other,) = await handed_in(world, body(payload=1), key="k")
        assert isinstance(first, Envelope)
        assert second == Duplicate(first.task.id, first.run, "default")
        assert isinstance(other, ConflictError)

    async def test_a_conflict_of_its_key_leaves_the_id_free(self, start: StartWorld) -> None:
        world = await start(store=MEMORY)
        await handed_in(world, body(), key="k")
        (refused,) = await handed_in(world, body(id="t1"), key="k")
        (taken,) = await handed_in(world, body(id="t1", payload="other"))
        assert isinstance(refused, ConflictError)
        assert isinstance(taken, Envelope)

    async def test_what_nothing_stands_for_is_taken_each_time(self, start: StartWorld) -> None:
        world = await start(store=MEMORY)
        answers = await handed_in(world, body(), body())
        assert all(isinstance(each, Envelope) and not each.dedup for each in answers)

    async def test_without_a_store_every_task_is_a_new_one(self, start: StartWorld) -> None:
        world = await start()
        for _ in range(2):
            (answer,) = await handed_in(world, body(id="t1"), key="k")
            assert isinstance(answer, Envelope)
        await world.settle()
        assert len(world.dispatcher.sent) == 2

    async def test_what_was_refused_before_may_be_handed_in_again(self, start: StartWorld) -> None:
        world = await start(store=MEMORY)
        world.broker.block(blocked=True)
        (refused,) = await handed_in(world, body(id="t1"))
        world.broker.block(blocked=False)
        (taken,) = await handed_in(world, body(id="t1"))
        assert isinstance(refused, BrokerUnavailableError)
        assert isinstance(taken, Envelope)

    async def test_a_publish_in_doubt_is_repeated_as_the_same_copy(self, start: StartWorld) -> None:
        world = await start(store=MEMORY, consuming=False)
        enqueue = world.broker.enqueue

        async def enqueue_and_fail(envelope: Envelope) -> None:
            await enqueue(envelope)
            raise BrokerUnavailableError

        world.broker.enqueue = enqueue_and_fail  # type: ignore[method-assign]
        (doubtful,) = await handed_in(world, body(id="t1"))
        assert isinstance(doubtful, BrokerUnavailableError)
        world.broker.enqueue = enqueue  # type: ignore[method-assign]
        (taken,) = await handed_in(world, body(id="t1"))
        assert isinstance(taken, Envelope)
        assert {each.key for _, each in world.broker.published} == {taken.key}
        assert world.broker.ready("default") == 2

        await world.consumer.start()
        await world.settle()
        assert len(world.dispatcher.sent) == 1
        assert world.is_idle()
        assert await states(world) == [("t1", "succeeded")]


class TestByMessage:
    async def test_a_queue_that_wants_it_runs_an_id_once(self, start: StartWorld) -> None:
        world = await start(store=MEMORY, dedup=True)
        for _ in range(3):
            world.send({"id": "t1", "url": "/x"})
        await world.settle()
        assert len(world.dispatcher.sent) == 1
        dropped = world.observer.all(TaskDropped)
        assert {(each.reason, each.of) for each in dropped} == {("duplicate", "t1")}
        assert len(dropped) == 2
        assert world.is_idle()
        assert await states(world) == [("t1", "succeeded")]

    async def test_its_id_with_other_content_is_set_aside(self, start: StartWorld) -> None:
        world = await start(store=MEMORY, dedup=True)
        world.send({"id": "t1", "url": "/x"})
        world.send({"id": "t1", "url": "/y"})
        await world.settle()
        assert len(world.dispatcher.sent) == 1
        assert [reason for _, reason, _ in world.broker.invalid] == ["id_reused"]

    async def test_a_key_is_told_from_any_other(self, start: StartWorld) -> None:
        world = await start(store=MEMORY)
        world.send({"url": "/x", "id": "a", "dedup": {"key": "k", "window": 60}})
        world.send({"url": "/y", "id": "b", "dedup": {"key": "k"}})
        world.send({"url": "/z", "id": "c", "dedup": {"key": "other"}})
        await world.settle()
        assert sorted(world.dispatcher.urls) == ["http://app.test/x", "http://app.test/z"]
        assert await states(world) == [("a", "succeeded"), ("b", "cancelled"), ("c", "succeeded")]
        await world.at(61)
        world.send({"url": "/y", "id": "d", "dedup": {"key": "k"}})
        await world.settle()
        assert world.dispatcher.urls[-1] == "http://app.test/y"

    @pytest.mark.parametrize("dedup", [False, None])
    async def test_a_message_may_say_that_its_duplicates_run(
        self, start: StartWorld, *, dedup: bool | None
    ) -> None:
        world = await start(store=MEMORY, dedup=dedup is False)
        for _ in range(2):
            world.send({"id": "t1", "url": "/x", "dedup": dedup})
        await world.settle()
        assert len(world.dispatcher.sent) == 2

    async def test_without_a_store_it_cannot_be_asked_for(self, start: StartWorld) -> None:
        world = await start()
        world.send({"id": "t1", "url": "/x", "dedup": True})
        await world.settle()
        ((_, reason, explanation),) = world.broker.invalid
        assert reason == "needs_store"
        assert "[store] url" in explanation
        with pytest.raises(InvalidTaskError, match="dedup"):
            await world.intake.accept(body(dedup={"key": "k"}))

    @pytest.mark.parametrize("name", [{"id": "t1"}, {}])
    async def test_a_message_that_comes_again_is_no_duplicate_of_its_own(
        self, start: StartWorld, name: dict[str, str]
    ) -> None:
        world = await start(store=MEMORY)
        world.dispatcher.will(Hang())
        world.send({"url": "/x", "dedup": {"key": "k"}, **name})
        after = await heir(start, world)
        ((_, first),) = world.dispatcher.sent
        ((_, second),) = after.dispatcher.sent
        assert first.key == second.key
        assert after.is_idle()

    async def test_what_died_between_its_claim_and_its_first_copy_goes_on(
        self, start: StartWorld
    ) -> None:
        world = await start(store=MEMORY)
        dies_at(world, "enqueue")
        world.send({"url": "/x", "dedup": {"key": "k"}})
        after = await heir(start, world)
        ((_, sent),) = after.dispatcher.sent
        assert sent.task.id == "made-1"
        assert await states(after) == [("made-1", "succeeded")]


class TestBeforeARequest:
    async def test_a_copy_that_another_daemon_has_begun_is_not_sent(
        self, start: StartWorld
    ) -> None:
        world = await start(store=MEMORY)
        other = await start(store=world.store)
        world.dispatcher.will(Hang())
        task = Task("t1", "default", "/x", body(id="t1"))
        now = world.clock.now()
        copy = Envelope(task, now, now, run=7, gen=1, dedup=True)
        for each in (world, other):
            each.broker.submit_copy("default", Message(task.source, progress_headers(copy)))
            await each.settle()
        assert (len(world.dispatcher.sent), other.dispatcher.sent) == (1, [])
        assert other.observer.last(TaskDropped).reason == "begun_elsewhere"
        assert other.is_idle()
        assert await states(other) == [("t1", "running")]
