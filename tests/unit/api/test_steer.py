"""Tasks asked about and steered by HTTP, over the real engine with broker and store in memory."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.fakes.dispatcher import Hang
from tests.parts.house import House, served
from webhook_runner.task.event import AttemptStarted, TaskFailed, TaskSucceeded
from webhook_runner.task.outcome import Responded

TASK_KEYS = {
    *("id", "run", "queue", "url", "method", "state", "retrying", "reason", "attempt"),
    *("created_at", "due_at", "changed_at", "started_at", "ended_at", "last_status", "last_error"),
    *("eta", "expires", "max_retries", "kind", "origin", "roll_back", "metadata"),
    "correlation_id",
}


class Scene:
    def __init__(self, house: House, client: httpx2.AsyncClient) -> None:
        self.house = house
        self.client = client

    async def post(self, **task: Any) -> Any:
        """Post a task; return the answer's content."""
        answer = await self.client.post("/v1/tasks", json={"url": "/x", **task})
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def get(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    async def succeeded(self, **task: Any) -> str:
        """Post a task and wait until it has succeeded; return its id."""
        count = len(self.house.seen.all(TaskSucceeded))
        task_id: str = (await self.post(**task))["id"]
        await self.house.seen.wait_for(TaskSucceeded, count + 1)
        return task_id


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    house = House()
    async with served(house) as client:
        yield Scene(house, client)


async def test_a_task_is_told_with_all_that_is_known(scene: Scene) -> None:
    message = {"payload": {"a": 1.10}, "metadata": {"who": "me"}, "roll_back": "/undo?k=v"}
    await scene.succeeded(id="order-7", **message)
    task = await scene.get("/v1/tasks/order-7")
    assert set(task) == TASK_KEYS
    assert (task["state"], task["attempt"], task["url"]) == ("succeeded", 1, "/x")
    assert task["roll_back"] == {"url": "/undo?k=v", "state": None}
    assert task["metadata"] == {"who": "me"}
    assert task["created_at"] <= task["started_at"] <= task["ended_at"]
    assert (task["last_status"], task["retrying"], task["reason"]) == (200, False, None)
    whole = await scene.get("/v1/tasks/order-7?message=true")
    assert whole["message"] == {"url": "/x", "id": "order-7", **message}


async def test_attempts_are_told_with_what_was_answered(scene: Scene) -> None:
    scene.house.dispatcher.will(Responded(500, {"retry-after": "0"}, b"\xff\xfe", truncated=True))
    await scene.succeeded(id="a", queue="other")
    first, second = (await scene.get("/v1/tasks/a/attempts"))["items"]
    assert (first["attempt"], first["outcome"], first["status"]) == (1, "responded", 500)
    assert first["response"] == {
        "headers": {"retry-after": "0"},
        "body": "//4=",
        "base64": True,
        "truncated": True,
    }
    assert (second["attempt"], second["status"]) == (2, 200)
    assert second["seconds"] >= 0


async def test_runs_are_listed_page_by_page_and_filtered(scene: Scene) -> None:
    for name in ("a", "b", "c"):
        await scene.succeeded(id=name)
    await scene.post(id="later", countdown=3600, queue="other")
    page = await scene.get("/v1/tasks?limit=2")
    assert [task["id"] for task in page["items"]] == ["later", "c"]
    rest = await scene.get(f"/v1/tasks?limit=2&cursor={page['next']}")
    assert [task["id"] for task in rest["items"]] == ["b", "a"]
    assert (await scene.get("/v1/tasks?state=scheduled,running"))["items"][0]["id"] == "later"
    assert len((await scene.get("/v1/tasks?queue=default&limit=1000"))["items"]) == 3
    until = page["items"][1]["created_at"]
    assert "c" not in [
        task["id"] for task in (await scene.get(f"/v1/tasks?until={until}"))["items"]
    ]
    assert (await scene.get("/v1/tasks?since=4000000000"))["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("state=gone", "state"),
        ("queue=%00", "queue"),
        ("cursor=%00", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("since=yesterday", "since"),
        ("until=2026-02-30T00:00:00Z", "until"),
        ("stat=failed", "stat"),
    ],
)
async def test_a_bad_parameter_is_named(scene: Scene, query: str, field: str) -> None:
    answer = await scene.client.get(f"/v1/tasks?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (
        422,
        "application/problem+json",
    )
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["detail"]
    assert error["reason"]


async def test_a_task_that_waits_is_called_off(scene: Scene) -> None:
    await scene.post(id="later", countdown=3600)
    answer = await scene.client.delete("/v1/tasks/later")
    assert (answer.status_code, answer.json()) == (200, {"id": "later", "state": "cancelled"})
    assert (await scene.get("/v1/tasks/later"))["state"] == "cancelled"


async def test_a_task_that_has_ended_or_is_unknown_cannot_be_called_off(scene: Scene) -> None:
    await scene.succeeded(id="done")
    answers = [await scene.client.delete(f"/v1/tasks/{each}") for each in ("done", "nobody")]
    assert [each.status_code for each in answers] == [409, 404]
    assert "succeeded" in answers[0].json()["detail"]
    forced = await scene.client.delete("/v1/tasks/nobody?force=true")
    assert (forced.status_code, forced.json()["state"]) == (202, "cancel_requested")


async def test_many_are_called_off_each_with_its_own_answer(scene: Scene) -> None:
    await scene.succeeded(id="done")
    await scene.post(id="later", countdown=3600)
    ids = ["later", "nobody", "done", "later"]
    answer = await scene.client.post("/v1/tasks/cancel", json={"ids": ids})
    first, second, third, fourth = answer.json()["results"]
    assert first == fourth == {"id": "later", "state": "cancelled"}
    assert (second["id"], second["problem"]["status"]) == ("nobody", 404)
    assert third["problem"]["status"] == 409


async def test_a_task_runs_now_and_then_again_as_a_new_run(scene: Scene) -> None:
    await scene.post(id="later", countdown=3600)
    answer = await scene.client.post("/v1/tasks/later/run")
    assert answer.status_code == 202, answer.text
    assert answer.json()["id"] == "later"
    await scene.house.seen.wait_for(TaskSucceeded)
    first = await scene.get("/v1/tasks/later")
    again = await scene.client.post("/v1/tasks/later/replay")
    assert again.status_code == 202
    assert again.json() == {"id": "later", "run": again.json()["run"], "queue": "default"}
    await scene.house.seen.wait_for(TaskSucceeded, 2)
    assert (await scene.get("/v1/tasks/later"))["run"] == again.json()["run"] > first["run"]
    assert (await scene.get(f"/v1/tasks/later?run={first['run']}"))["run"] == first["run"]


async def test_what_runs_can_be_neither_run_nor_replayed(scene: Scene) -> None:
    hang = Hang()
    scene.house.dispatcher.will(hang)
    await scene.post(id="a")
    await scene.house.seen.wait_for(AttemptStarted)
    for what in ("run", "replay"):
        assert (await scene.client.post(f"/v1/tasks/a/{what}")).status_code == 409
    hang.answer()
    assert (await scene.client.post("/v1/tasks/nobody/replay")).status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"{", 400, "not_json"),
        (b"[]", 422, "wrong_value"),
        (b'{"ids": []}', 422, "wrong_value"),
        (b'{"ids": ["a b"]}', 422, "wrong_value"),
        (b'{"ids": ["a"], "force": true}', 422, "wrong_value"),
        (b'{"ids": [' + b" " * 140_000 + b'"a"]}', 413, ""),
    ],
)
async def test_a_bad_wish_is_refused(
    scene: Scene, content: bytes, status: int, reason: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await scene.client.post("/v1/tasks/cancel", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert not reason or answer.json()["errors"][0]["reason"] == reason


async def test_the_same_task_again_is_a_duplicate_and_another_one_a_conflict(scene: Scene) -> None:
    await scene.succeeded(id="a", payload=1)
    again = await scene.client.post("/v1/tasks", json={"url": "/x", "id": "a", "payload": 1})
    assert (again.status_code, again.headers["location"]) == (200, "/v1/tasks/a")
    assert again.json() == {"id": "a", "queue": "default", "duplicate": True}
    other = await scene.client.post("/v1/tasks", json={"url": "/x", "id": "a", "payload": 2})
    assert (other.status_code, other.json()["status"]) == (409, 409)
    several = [{"url": "/x", "id": "a", "payload": 1}, {"url": "/x", "id": "a", "payload": 3}]
    answer = await scene.client.post("/v1/tasks", json=several)
    assert answer.status_code == 200
    first, second = answer.json()["results"]
    assert (first["status"], first["duplicate"], first["location"]) == (200, True, "/v1/tasks/a")
    assert (second["status"], second["problem"]["status"]) == (409, 409)


async def test_a_key_stands_for_one_task_or_for_one_array(scene: Scene) -> None:
    headers = {"Idempotency-Key": "k-1"}
    one, again, other = [
        await scene.client.post("/v1/tasks", json={"url": url}, headers=headers)
        for url in ("/x", "/x", "/y")
    ]
    assert [each.status_code for each in (one, again, other)] == [202, 200, 409]
    assert again.json()["id"] == one.json()["id"]
    many = [{"url": "/x"}, {"url": "/z"}]
    first = await scene.client.post("/v1/tasks", json=many, headers={"Idempotency-Key": "k-2"})
    second = await scene.client.post("/v1/tasks", json=many, headers={"Idempotency-Key": "k-2"})
    assert [first.status_code, second.status_code] == [202, 200]
    ids = [[each["id"] for each in answer.json()["results"]] for answer in (first, second)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "\u00e9"])
async def test_a_key_that_could_not_be_kept_is_refused(scene: Scene, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    answer = await scene.client.post("/v1/tasks", json={"url": "/x"}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_without_a_store_what_needs_one_names_the_setting() -> None:
    house = House(store="none")
    async with served(house) as client:
        asked = [
            await client.get("/v1/tasks"),
            await client.get("/v1/tasks/a"),
            await client.get("/v1/tasks/a/attempts"),
            await client.get("/v1/tasks/a/events"),
            await client.post("/v1/tasks/a/run"),
            await client.post("/v1/tasks/a/replay"),
            await client.post("/v1/queues/default/purge?scheduled=true"),
            await client.post("/v1/tasks", json={"url": "/x"}, headers={"Idempotency-Key": "k"}),
        ]
        assert {answer.status_code for answer in asked} == {501}
        assert all("[store] url" in answer.json()["detail"] for answer in asked)
        assert (await client.delete("/v1/tasks/a")).status_code == 202
        assert (await client.get("/v1/queues/default")).status_code == 200
        house.dispatcher.will(Responded(400))
        await client.post("/v1/tasks", json={"url": "/x"})
        await house.seen.wait_for(TaskFailed)
        assert len((await client.get("/v1/queues/default/dead")).json()["items"]) == 1


async def test_the_routes_of_taskqueue_answer_as_ours_do(scene: Scene) -> None:
    pushed = await scene.client.post("/tasks/push/", json={"url": "/x", "id": "a"})
    assert (pushed.status_code, pushed.headers["location"]) == (202, "/v1/tasks/a")
    for method, name in (("POST", "b"), ("PUT", "c")):
        answer = await scene.client.request(
            method, f"/tasks/push/{name}", json={"url": "/x", "countdown": 3600}
        )
        assert (answer.status_code, answer.json()) == (202, {"id": name, "queue": "default"})
    assert (await scene.client.put("/tasks/push/", json=[{"url": "/x"}])).status_code == 202
    told = await scene.get("/tasks/push/b?message=true")
    assert told["message"] == {"id": "b", "url": "/x", "countdown": 3600}
    assert (await scene.client.delete("/tasks/push/b")).json()["state"] == "cancelled"
    assert len((await scene.get("/tasks/push/"))["items"]) == 4
    wrong = await scene.client.put("/tasks/push/d", json={"url": "/x", "id": "e"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "id")
    array = await scene.client.put("/tasks/push/d", json=[{"url": "/x"}])
    assert array.status_code == 422
