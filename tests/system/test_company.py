"""Daemons that share a RabbitMQ do as one: cancelled is cancelled, paused is paused, everywhere."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.parts.member import Member, at_work, company
from tests.parts.receiver import Answer, Receiver
from tests.parts.running_broker import Notes, WallClock, until
from webhook_runner.engine.task_control import CancelState
from webhook_runner.ports import Store
from webhook_runner.settings import QueueSettings, StoreSettings
from webhook_runner.store.open_store import NONE, make_store
from webhook_runner.task.event import TaskCancelled, TaskDropped
from webhook_runner.task.state import TaskState

pytestmark = pytest.mark.rabbitmq


async def opened(url: str) -> AsyncIterator[Store]:
    store = make_store(url, StoreSettings(), WallClock(), Notes())
    running = asyncio.create_task(store.run())
    yield store
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """One store for all members, as a PostgreSQL is."""
    async for each in opened("sqlite::memory:"):
        yield each


@pytest.fixture
async def no_store() -> AsyncIterator[Store]:
    async for each in opened(NONE):
        yield each


def three(url: str, receiver: Receiver, store: Store, **queue: object) -> list[Member]:
    queues = {"q": QueueSettings(**queue)}  # type: ignore[arg-type]
    return [Member(url, receiver.url, queues, store) for _ in range(3)]


def tasks(names: Sequence[str], **fields: object) -> list[dict[str, object]]:
    return [{"id": name, "url": "/x", "queue": "q", **fields} for name in names]


def numbered(what: str, count: int) -> list[str]:
    return [f"{what}-{number}" for number in range(count)]


def called(receiver: Receiver) -> list[str]:
    return [request.header("Idempotency-Key") or "" for request in receiver.requests]


def told(notes: Sequence[Notes], kind: type[TaskCancelled | TaskDropped]) -> set[str]:
    return {event.envelope.task.id for each in notes for event in each.of(kind)}


async def test_many_tasks_are_cancelled_wherever_they_are(
    vhost_url: str, receiver: Receiver, store: Store
) -> None:
    receiver.script("/x", [Answer(hang=True)])
    due, ready, running = (numbered(what, 100) for what in ("due", "ready", "running"))
    async with company(three(vhost_url, receiver, store, concurrency=10)) as members:
        first, second, third = members
        await first.accept(tasks(due, countdown=8))
        await first.accept(tasks([*running, *ready]))
        await receiver.wait_for_async(30)
        before = called(receiver)
        answers = await second.control.tasks.cancel_many([*due, *ready, *running])
        assert set(answers.values()) == {CancelState.CANCELLED}
        await until(lambda: receiver.in_flight == 0, "no request under way")
        notes = [member.notes for member in members]
        assert told(notes, TaskCancelled) == {*due, *ready, *running}
        await until(lambda: told(notes, TaskDropped) >= set(due), "what waited has surfaced")
        assert called(receiver) == before
        for name in ("due-1", "ready-99", "running-0"):
            assert (await third.control.tasks.find(name)).state is TaskState.CANCELLED


async def test_without_a_store_only_what_was_found_is_called_cancelled(
    vhost_url: str, receiver: Receiver, no_store: Store
) -> None:
    receiver.script("/x", [Answer(hang=True)])
    async with company(three(vhost_url, receiver, no_store, concurrency=6)) as members:
        await members[0].accept(tasks(numbered("running", 6)))
        await members[0].accept(tasks(["due"], countdown=30))
        await receiver.wait_for_async(6)
        names = [*numbered("running", 6), "due", "unknown"]
        answers = await members[2].control.tasks.cancel_many(names)
        assert list(answers.values()) == [CancelState.CANCELLED] * 6 + [CancelState.REQUESTED] * 2
        await until(lambda: receiver.in_flight == 0, "no request under way")


async def test_a_request_that_may_finish_elsewhere_is_waited_for(
    vhost_url: str, receiver: Receiver, store: Store
) -> None:
    receiver.script("/x", [Answer(500, hang=True)])
    members = three(vhost_url, receiver, store, concurrency=1, cancel_running="finish")
    async with company(members):
        names = numbered("t", 200)  # more than two of them take at once
        await members[0].accept(tasks(names))
        await receiver.wait_for_async(3)
        cancelling = asyncio.create_task(members[1].control.tasks.cancel_many(names))
        known = [member.engine.revocations for member in members]
        await until(lambda: all(len(each) == 200 for each in known), "heard of it")
        assert not cancelling.done()
        receiver.release()
        assert set((await cancelling).values()) == {CancelState.CANCELLED}
        assert len(receiver.requests) == 3


async def test_a_scheduled_task_is_called_early_once_by_whoever_is_asked(
    vhost_url: str, receiver: Receiver, store: Store
) -> None:
    async with company(three(vhost_url, receiver, store)) as members:
        await members[0].accept(tasks(["t"], countdown=6))
        await members[1].control.tasks.run_now("t")
        await receiver.wait_for_async(1)
        notes = [member.notes for member in members]
        await until(lambda: any(each.of(TaskDropped) for each in notes), "the copy that waited")
        assert called(receiver) == ["t"]
        assert (await members[2].control.tasks.find("t")).state is TaskState.SUCCEEDED


async def test_a_pause_and_limits_hold_for_all_and_for_who_comes_later(
    vhost_url: str, receiver: Receiver, no_store: Store
) -> None:
    members = three(vhost_url, receiver, no_store, concurrency=10)
    receiver.script("/x", [Answer(hang=True)])
    async with company(members):
        await members[0].control.queues.change("q", {"concurrency": 1})
        await members[1].control.queues.pause("q")
        await until(lambda: not any(each.broker.state().consuming for each in members), "paused")
    late = Member(vhost_url, receiver.url, {"q": QueueSettings()}, no_store)
    async with at_work(late):
        view = await late.control.queues.queue("q")
        assert (view.paused, view.settings.concurrency) == (True, 1)
        await late.accept(tasks(numbered("t", 150)))  # a member has room for 50
        await until(lambda: late.broker.state().connected, "connected")
        assert not receiver.requests
        another = Member(vhost_url, receiver.url, {"q": QueueSettings()}, no_store)
        async with at_work(another):
            await another.control.queues.resume("q")
            await receiver.wait_for_async(2)
            await until(lambda: "q" in late.broker.state().consuming, "consuming")
            assert receiver.peak_in_flight == 2
            receiver.release()
            await receiver.wait_for_async(150)
            assert receiver.peak_in_flight == 2
