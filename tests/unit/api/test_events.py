"""Server-sent events: what listeners are told, and what becomes of slow ones, late ones, many."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from tests.fakes.dispatcher import Hang
from tests.parts.house import House, served
from tests.unit.observe.events import ENVELOPE, ONE_OF_EACH
from webhook_runner.api import events, stream
from webhook_runner.api.events import EventHub, Gap, Told, Wish, state_after
from webhook_runner.api.stream import all_events, written
from webhook_runner.task.event import (
    AttemptStarted,
    QueueChanged,
    TaskReceived,
    TaskSucceeded,
)
from webhook_runner.task.outcome import Responded
from webhook_runner.task.record import Change, Stage, sequence
from webhook_runner.task.state import TaskState

Event = tuple[str, Any]


async def heard(answer: httpx2.Response) -> AsyncGenerator[Event, None]:
    """Give the events of a stream, comments left out."""
    name = ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


@contextlib.asynccontextmanager
async def listening(
    client: httpx2.AsyncClient, path: str, **headers: str
) -> AsyncIterator[AsyncGenerator[Event, None]]:
    """Listen at ``path``, from the moment on that this is entered."""
    async with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with contextlib.aclosing(heard(answer)) as found:
            yield found


async def test_a_task_is_watched_to_its_end() -> None:
    house = House()
    hang = Hang()
    house.dispatcher.will(Responded(500), hang)
    async with served(house) as client:
        await client.post("/v1/queues/other/pause")
        task = {"url": "/x", "id": "a", "queue": "other", "payload": "\n"}
        await client.post("/v1/tasks", json=task)
        async with listening(client, "/v1/tasks/a/events") as found:
            first = await anext(found)
            assert (first[0], first[1]["id"], first[1]["state"]) == ("task.state", "a", "ready")
            assert "message" not in first[1]
            await client.post("/v1/queues/other/resume")
            await house.seen.wait_for(AttemptStarted, 2)
            hang.answer()
            rest = [event async for event in found]
    names = [name for name, _ in rest if name != "task.state"]
    assert "task.retry.scheduled" in names
    assert names[-1] == "task.succeeded"
    assert (rest[-1][1]["state"], rest[-1][1]["queue"]) == ("succeeded", "other")


async def test_what_another_daemon_did_is_seen_in_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "ASK_SECONDS", 0.01)
    house = House()
    async with served(house) as client:
        await client.post("/v1/tasks", json={"url": "/x", "id": "a", "countdown": 3600})
        record = await house.control.tasks.find("a")
        async with listening(client, "/v1/tasks/a/events") as found:
            assert (await anext(found))[1]["state"] == "scheduled"
            assert await house.store.advance(ended_elsewhere(record.run))
            rest = [event async for event in found]
    assert [(name, event["state"]) for name, event in rest] == [("task.state", "succeeded")]


def ended_elsewhere(run: int) -> Change:
    envelope = replace(ENVELOPE, task=replace(ENVELOPE.task, id="a"), run=run, gen=1)
    seq = sequence(1, 0, Stage.ENDED)
    return Change(envelope, TaskState.SUCCEEDED, seq, envelope.first_at, status=200)


async def test_an_unknown_task_cannot_be_watched() -> None:
    async with served(House()) as client:
        assert (await client.get("/v1/tasks/nobody/events")).status_code == 404


async def test_everything_is_heard_or_what_is_asked_for() -> None:
    house = House()
    async with (
        served(house) as client,
        listening(client, "/v1/events") as everything,
        listening(client, "/v1/events?queue=other") as other,
        listening(client, "/v1/events?state=succeeded,failed") as ends,
    ):
        await client.post("/v1/queues/other/pause")
        await client.post("/v1/tasks", json={"url": "/x", "id": "a"})
        name, change = await anext(everything)
        assert (name, change["queue"], change["paused"]) == ("queue.changed", "other", True)
        while (await anext(everything))[0] != "task.accepted":
            pass
        assert (await anext(other))[0] == "queue.changed"
        name, end = await anext(ends)
        assert (name, end["id"], end["state"]) == ("task.succeeded", "a", "succeeded")
        assert end["at"].endswith("Z")


async def test_streams_end_when_the_server_stops() -> None:
    house = House()
    async with contextlib.AsyncExitStack() as listeners:
        async with served(house) as client:
            await client.post("/v1/tasks", json={"url": "/x", "id": "a", "countdown": 60})
            streams = [
                await listeners.enter_async_context(listening(client, path))
                for path in ("/v1/events", "/v1/tasks/a/events")
            ]
            house.door.events.close()
            ended = [[event async for event in each] for each in streams]
        assert [len(each) for each in ended] == [0, 1]
        assert not house.door.events.is_full


async def test_so_many_listen_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_LISTENERS", 1)
    async with served(House()) as client, listening(client, "/v1/events"):
        refused = await client.get("/v1/events")
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)


def received(number: int) -> TaskReceived:
    return TaskReceived(ENVELOPE, superfluous=number % 2 == 1)


async def test_a_slow_listener_loses_the_oldest_and_is_told_how_many() -> None:
    hub = EventHub(lambda: 0.0)
    with hub.listen(Wish()) as listener:
        for number in range(1003):
            hub.notice(received(number))
        assert await listener.next(1) == Gap(3)
        first = await listener.next(1)
        assert isinstance(first, Told)
        assert first.id.endswith("-4")


async def test_who_comes_back_goes_on_where_it_was_if_that_is_known() -> None:
    hub = EventHub(lambda: 0.0)
    with hub.listen(Wish()) as first:
        for number in range(3):
            hub.notice(received(number))
        told = await first.next(1)
        assert isinstance(told, Told)
        with hub.listen(Wish(), told.id) as back:
            following = [await back.next(1) for _ in range(2)]
            assert [isinstance(each, Told) and each.id != told.id for each in following] == [1, 1]
        with hub.listen(Wish(), "of-another-process") as stranger:
            assert await stranger.next(1) == Gap(None)
            assert await stranger.next(0.001) is None


async def test_silence_is_broken_by_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.001)
    hub = EventHub(lambda: 0.0)
    async with contextlib.aclosing(all_events(hub, Wish(), "")) as found:
        assert [await anext(found) for _ in range(2)] == [b": listening\n\n", b": still here\n\n"]


def test_line_breaks_stay_within_the_data() -> None:
    assert written("x", b'{"a":\n1,\r\n"b":2}', "7") == (
        b'id: 7\nevent: x\ndata: {"a":\ndata: 1,\ndata: "b":2}\n\n'
    )


def test_every_event_can_be_told() -> None:
    hub = EventHub(lambda: 0.0)
    with hub.listen(Wish()) as listener:
        for event in ONE_OF_EACH:
            hub.notice(event)
        assert len(listener._waiting) == len(ONE_OF_EACH)
        assert all(isinstance(json.loads(each.data), dict) for each in listener._waiting)


def test_a_wish_is_for_a_task_a_queue_or_states() -> None:
    told = EventHub(lambda: 0.0)._told
    assert state_after(TaskSucceeded(ENVELOPE)) is TaskState.SUCCEEDED
    done, changed = told(TaskSucceeded(ENVELOPE)), told(QueueChanged("a", paused=True))
    assert Wish(ENVELOPE.task.id).fits(done)
    assert not Wish("another").fits(done)
    assert not Wish("another").fits(changed)
    assert Wish(queue="a").fits(changed)
    assert Wish(queue=ENVELOPE.task.queue).fits(done)
    assert not Wish(queue="a").fits(done)
    assert not Wish(states=frozenset({TaskState.FAILED})).fits(done)


async def test_nothing_is_kept_while_nobody_listens() -> None:
    hub = EventHub(lambda: 0.0)
    hub.notice(received(1))
    with hub.listen(Wish()) as listener:
        assert await listener.next(0.001) is None
        hub.close()
        async with asyncio.timeout(5):
            assert await listener.next(60) is None
        assert listener.is_over
    with hub.listen(Wish()) as late:
        assert late.is_over
