"""Queues, dead letters and invalid messages by HTTP, over the real engine."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.parts.house import House, served
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import TaskFailed, TaskRejected, TaskSucceeded
from webhook_runner.task.model import Message
from webhook_runner.task.outcome import Responded

JSON = {"Content-Type": "application/json"}


class Scene:
    def __init__(self, house: House, client: httpx2.AsyncClient) -> None:
        self.house = house
        self.client = client

    async def fail(self, *names: str, status: int = 500, **more: Any) -> None:
        """Let tasks become dead letters."""
        before = len(self.house.seen.all(TaskFailed))
        for name in names:
            self.house.dispatcher.will(Responded(status), url=f"http://app.test/{name}")
            content = {"url": f"/{name}", "id": name, **more}
            assert (await self.client.post("/v1/tasks", json=content)).status_code == 202
        await self.house.seen.wait_for(TaskFailed, before + len(names))

    async def letters(self, query: str = "", where: str = "default/dead") -> list[str]:
        answer = await self.client.get(f"/v1/queues/{where}?{query}")
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["items"]]

    async def replay(self, where: str = "default/dead", **wish: Any) -> list[Any]:
        answer = await self.client.post(f"/v1/queues/{where}/replay", json=wish)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    house = House()
    async with served(house) as client:
        yield Scene(house, client)


async def test_a_queue_is_told_with_its_limits(scene: Scene) -> None:
    answer = await scene.client.get("/v1/queues")
    assert [each["name"] for each in answer.json()["items"]] == ["default", "other"]
    (await scene.client.post("/v1/tasks", json={"url": "/x", "countdown": 60})).raise_for_status()
    queue = (await scene.client.get("/v1/queues/default")).json()
    assert (queue["scheduled"], queue["ready"], queue["paused"]) == (1, 0, False)
    assert queue["oldest_at"].endswith("Z")
    assert (queue["limits"]["rate"], queue["limits"]["concurrency"]) == ("unlimited", 10)
    assert queue["changed"] == []
    unknown = await scene.client.get("/v1/queues/nowhere")
    assert (unknown.status_code, "default" in unknown.json()["detail"]) == (404, True)


async def test_a_queue_is_paused_and_resumed(scene: Scene) -> None:
    paused = await scene.client.post("/v1/queues/default/pause")
    assert (paused.status_code, paused.json()["paused"]) == (200, True)
    await scene.client.post("/v1/tasks", json={"url": "/x"})
    assert (await scene.client.get("/v1/queues/default")).json()["ready"] == 1
    resumed = await scene.client.post("/v1/queues/default/resume")
    assert resumed.json()["paused"] is False
    await scene.house.seen.wait_for(TaskSucceeded)


async def test_limits_are_changed_and_taken_back(scene: Scene) -> None:
    wish: dict[str, Any] = {"concurrency": 3, "rate": "30/m", "success_codes": "200-299,404"}
    changed = await scene.client.patch("/v1/queues/default", json=wish)
    assert changed.status_code == 200, changed.text
    assert wish.items() <= changed.json()["limits"].items()
    assert changed.json()["changed"] == sorted(wish)
    back = await scene.client.patch("/v1/queues/default", json={"rate": None, "concurrency": None})
    assert (back.json()["limits"]["rate"], back.json()["changed"]) == (
        "unlimited",
        ["success_codes"],
    )


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"{}", ""),
        (b'{"headers": {}}', "headers"),
        (b'{"concurrency": 0}', "concurrency"),
        (b'{"concurrency": "5"}', "concurrency"),
        (b'{"rate": 5}', "rate"),
        (b'{"rate": "fast"}', "rate"),
    ],
)
async def test_a_limit_that_cannot_be_is_refused(scene: Scene, content: bytes, field: str) -> None:
    answer = await scene.client.patch("/v1/queues/default", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_a_queue_is_emptied(scene: Scene) -> None:
    await scene.client.post("/v1/queues/default/pause")
    many = [{"url": "/x"}, {"url": "/x"}, {"url": "/x", "countdown": 60}]
    await scene.client.post("/v1/tasks", json=many)
    first = await scene.client.post("/v1/queues/default/purge")
    assert (first.status_code, first.json()) == (200, {"ready": 2, "scheduled": 0})
    second = await scene.client.post("/v1/queues/default/purge?scheduled=true")
    assert second.json() == {"ready": 0, "scheduled": 1}


async def test_dead_letters_are_listed_filtered_and_paged(scene: Scene) -> None:
    await scene.fail("a", "b")
    await scene.fail("c", status=404)
    assert await scene.letters() == ["a", "b", "c"]
    for query, wanted in (
        ("id=a,c", ["a", "c"]),
        ("status=404", ["c"]),
        ("reason=nothing", []),
        ("url_prefix=/b", ["b"]),
        ("since=4000000000", []),
        ("until=4000000000", ["a", "b", "c"]),
    ):
        assert await scene.letters(query) == wanted, query
    page = (await scene.client.get("/v1/queues/default/dead?limit=2")).json()
    assert await scene.letters(f"limit=2&cursor={page['next']}") == ["c"]
    letter = page["items"][0]
    assert (letter["last_status"], letter["attempts"], letter["size"] > 10) == (500, 1, True)
    assert "message" not in letter
    assert await scene.letters(f"letter={letter['letter']}") == ["a"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("id=" + ",".join(["a"] * 101), "at most 100 with commas, of at most 255 characters"),
        (f"id={'a' * 256}", "at most 100 with commas, of at most 255 characters"),
        (f"letter={'1' * 201}", "at most 100 with commas, of at most 200 characters"),
        ("id=a,,b", "pattern"),
        ("id=a%0A", "pattern"),
    ],
)
async def test_only_so_many_letters_can_be_named(scene: Scene, query: str, told: str) -> None:
    answer = await scene.client.get(f"/v1/queues/default/dead?{query}")
    assert answer.status_code == 422
    assert told in answer.text
    most = ",".join(["a" * 255] * 100)
    assert (await scene.client.get(f"/v1/queues/default/dead?id={most}")).status_code == 200


async def test_a_dead_letter_is_shown_and_exported_with_its_message(scene: Scene) -> None:
    await scene.fail("a", payload={"n": 1})
    (listed,) = (await scene.client.get("/v1/queues/default/dead")).json()["items"]
    shown = (await scene.client.get(f"/v1/queues/default/dead/{listed['letter']}")).json()
    assert shown["message"] == {"url": "/a", "id": "a", "payload": {"n": 1}}
    assert shown["summary"]["last_status"] == 500
    export = await scene.client.get("/v1/queues/default/dead/export")
    assert [json.loads(line) for line in export.text.splitlines()] == [shown]
    assert (await scene.client.get("/v1/queues/default/dead/0")).status_code == 404


async def test_letters_are_dropped_only_when_it_is_said_which(scene: Scene) -> None:
    await scene.fail("a", "b", "c")
    assert (await scene.client.delete("/v1/queues/default/dead")).status_code == 422
    misspelled = await scene.client.delete("/v1/queues/default/dead?all=true&staus=500")
    assert misspelled.status_code == 422
    assert (await scene.client.delete("/v1/queues/default/dead?id=b")).json() == {"dropped": 1}
    (first, _) = (await scene.client.get("/v1/queues/default/dead")).json()["items"]
    one = f"/v1/queues/default/dead/{first['letter']}"
    assert (await scene.client.delete(one)).json() == {"dropped": 1}
    assert (await scene.client.delete(one)).status_code == 404
    everything = await scene.client.delete("/v1/queues/default/dead?all=true")
    assert everything.json() == {"dropped": 1}


async def test_letters_are_replayed_line_by_line(scene: Scene) -> None:
    await scene.fail("a", "b")
    dry = await scene.replay(all=True, dry_run=True)
    assert [line["id"] for line in dry[:-1]] == ["a", "b"]
    assert dry[-1] == {"replayed": 2, "failed": 0, "matched": 2, "dry_run": True}
    line, end = await scene.replay(id="a", edit={"url": "/edited", "payload": {"n": 2}})
    assert (line["id"], line["error"], line["run"] > 0) == ("a", None, True)
    assert end == {"replayed": 1, "failed": 0, "matched": 1, "dry_run": False}
    await scene.house.seen.wait_for(TaskSucceeded)
    assert scene.house.dispatcher.urls[-1] == "http://app.test/edited"
    assert scene.house.dispatcher.bodies[-1] == b'{"n":2}'
    assert await scene.letters() == ["b"]
    (refused, end) = await scene.replay(id=["b"], edit={"url": None})
    assert "url" in refused["error"]
    assert (end["replayed"], end["failed"]) == (0, 1)
    (_, end) = await scene.replay(url_prefix="/b", rate="10/s", queue="other", edit=None)
    assert end["replayed"] == 1


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "all"),
        ({"all": True, "edit": [1]}, "edit"),
        ({"all": True, "rate": "fast"}, "rate"),
        ({"all": True, "since": "yesterday"}, "since"),
        ({"all": True, "status": "500"}, "status"),
        ({"all": "yes"}, "all"),
    ],
)
async def test_a_bad_replay_is_refused(scene: Scene, wish: dict[str, Any], field: str) -> None:
    answer = await scene.client.post("/v1/queues/default/dead/replay", json=wish)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_an_unknown_queue_is_told_before_the_lines_begin(scene: Scene) -> None:
    answers = [
        await scene.client.post("/v1/queues/nowhere/dead/replay", json={"all": True}),
        await scene.client.post(
            "/v1/queues/default/dead/replay", json={"all": True, "queue": "nowhere"}
        ),
        await scene.client.get("/v1/queues/nowhere/invalid/export"),
        await scene.client.delete("/v1/queues/nowhere/invalid?all=true"),
    ]
    assert [each.status_code for each in answers] == [404] * 4
    assert answers[0].headers["content-type"] == "application/problem+json"


async def test_invalid_messages_have_the_same_routes() -> None:
    house = House(queues={"default": QueueSettings()})
    async with served(house) as client:
        for body in (b"not json \xff", b'{"url": 5, "id": "a"}'):
            await house.broker.submit("default", Message(body))
        await house.seen.wait_for(TaskRejected, 2)
        first, second = (await client.get("/v1/queues/default/invalid")).json()["items"]
        assert (first["reason"], first["id"], first["url"]) == ("encoding", None, None)
        assert (second["field"], second["reason"]) == ("url", "wrong_type")
        shown = (await client.get(f"/v1/queues/default/invalid/{first['letter']}")).json()
        assert shown["message"] == "bm90IGpzb24g/w=="
        wish = {"letter": second["letter"], "edit": {"url": "/mended"}}
        answer = await client.post("/v1/queues/default/invalid/replay", json=wish)
        assert json.loads(answer.text.splitlines()[-1])["replayed"] == 1
        await house.seen.wait_for(TaskSucceeded)
        assert (await client.delete("/v1/queues/default/invalid?all=true")).json()["dropped"] == 1
