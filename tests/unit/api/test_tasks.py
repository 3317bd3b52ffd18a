"""POST /v1/tasks over a broker in memory: every answer, and what the broker has then."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.journey.world import World, at_work
from tests.unit.api.serving import served_by, serving
from webhook_runner.api import body, connection
from webhook_runner.api.server import ApiServer
from webhook_runner.settings import QueueSettings
from webhook_runner.task.event import TaskAccepted, TaskRefused

JSON = {"Content-Type": "application/json"}


class Scene:
    """The API, a client for it, and the world behind it."""

    def __init__(self, world: World, client: httpx2.AsyncClient) -> None:
        self.world = world
        self.client = client

    async def post(self, content: Any, **headers: str) -> httpx2.Response:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.client.post("/v1/tasks", content=raw, headers={**JSON, **headers})

    @property
    def kept(self) -> list[bytes]:
        """The messages that the broker has, in the order they were published."""
        return [envelope.task.source for _, envelope in self.world.broker.published]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    queues = {"default": QueueSettings(), "other": QueueSettings()}
    world = World(queues, max_message_bytes=2048)
    served = served_by(world.intake)
    async with at_work(world.broker), serving(ApiServer("127.0.0.1:0", served)) as client:
        yield Scene(world, client)


def is_problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["status"], document["type"]) == (
        status,
        status,
        "about:blank",
    )
    assert document["instance"].startswith("/")
    assert document["detail"]
    return document


async def test_one_task_is_answered_with_its_id_and_its_place(scene: Scene) -> None:
    answer = await scene.post({"url": "/x", "id": "order-7", "queue": "other"})
    assert (answer.status_code, answer.json()) == (202, {"id": "order-7", "queue": "other"})
    assert answer.headers["location"] == "/v1/tasks/order-7"
    assert scene.world.broker.ready("other") == 1


async def test_a_task_without_id_and_queue_is_given_both(scene: Scene) -> None:
    answer = await scene.post({"url": "/x"})
    assert answer.json() == {"id": "made-1", "queue": "default"}


async def test_the_bytes_of_a_task_are_kept_as_they_were_written(scene: Scene) -> None:
    odd = b' {"url" : "\\u002fx",\n "payload":{"b":1.10, "a":1e2,"\\u00e9":"\xc3\xa9"} }\n'
    await scene.post(odd)
    items = [b'{"url":"/a", "payload":[1.0,  2]}', odd.strip(), b'{"payload":"","url":"/c"}']
    await scene.post(b"\n[ " + b" ,\n".join(items) + b"]  ")
    assert scene.kept == [odd, *items]


async def test_a_task_needs_no_content_type(scene: Scene) -> None:
    answer = await scene.client.post("/v1/tasks", content=b'{"url": "/x"}')
    assert "content-type" not in answer.request.headers
    assert answer.status_code == 202


@pytest.mark.parametrize("kind", ["application/json;charset=UTF-8", "application/cloudevents+json"])
async def test_json_by_another_name_is_taken(scene: Scene, kind: str) -> None:
    answer = await scene.post({"url": "/x"}, **{"Content-Type": kind})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("headers", "offer"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, "accept"),
        ({"Content-Type": "text/plain"}, "accept"),
        ({"Content-Type": "application/json; charset=latin-1"}, "accept"),
        ({"Content-Encoding": "gzip"}, "accept-encoding"),
    ],
)
async def test_what_is_no_plain_json_is_refused_unread(
    scene: Scene, headers: dict[str, str], offer: str
) -> None:
    answer = await scene.post({"url": "/x"}, **headers)
    is_problem(answer, 415)
    assert offer in answer.headers
    assert scene.kept == []


async def test_a_broken_rule_is_told_with_its_field(scene: Scene) -> None:
    document = is_problem(await scene.post({"url": "/x", "countdown": "10"}), 422)
    assert document["title"] == "Unprocessable Content"
    assert document["errors"] == [
        {
            "field": "countdown",
            "reason": "wrong_type",
            "detail": 'must be a number of seconds >= 0, not a string; write 10, not "10"',
        }
    ]
    assert document["detail"].startswith("countdown: must be a number")
    assert document["instance"] == "/v1/tasks"
    refused = scene.world.observer.last(TaskRefused)
    assert (refused.queue, refused.reason, refused.field) == ("default", "wrong_type", "countdown")


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 400, "empty"),
        (b"url=/x", 400, "not_json"),
        (b'{"url": "/x"', 400, "not_json"),
        ('{"url": "/x"}'.encode("utf-16"), 400, "encoding"),
        (b"5", 422, "not_an_object"),
        (b"{}", 422, "missing_field"),
        (b'{"url": "/x", "queue": "nowhere"}', 422, "unknown_queue"),
        (b'{"url": "ftp://x/"}', 422, ""),
        (b'{"url": "/x", "url": "/y"}', 422, "duplicate_key"),
        (b'{"url": "/x", "payload": ' + b"[" * 70 + b"]" * 70 + b"}", 422, "too_deep"),
        (b'{"url": "/x", "method": "GET", "payload": 1}', 422, "body_not_allowed"),
    ],
)
async def test_a_bad_body_has_the_status_that_fits(
    scene: Scene, content: bytes, status: int, reason: str
) -> None:
    document = is_problem(await scene.post(content), status)
    assert reason in {"", document["errors"][0]["reason"]}
    assert scene.kept == []


@pytest.mark.parametrize(
    ("content", "status"), [(b"[", 400), (b"[{]", 400), (b"[" * 100_000, 400), (b" []", 422)]
)
async def test_a_bad_array_is_refused_as_a_whole(scene: Scene, content: bytes, status: int) -> None:
    is_problem(await scene.post(content), status)


async def test_each_task_of_an_array_has_its_own_answer_in_order(scene: Scene) -> None:
    answer = await scene.post(
        [{"url": "/a", "id": "a"}, {"url": 5}, 7, {"url": "/c", "queue": "other"}]
    )
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    first, second, third, fourth = answer.json()["results"]
    assert first == {"status": 202, "id": "a", "queue": "default", "location": "/v1/tasks/a"}
    assert (second["status"], second["problem"]["errors"][0]["field"]) == (422, "url")
    assert (third["status"], third["problem"]["errors"][0]["reason"]) == (422, "not_an_object")
    assert (fourth["status"], fourth["queue"]) == (202, "other")
    assert len(scene.world.observer.all(TaskAccepted)) == 2


async def test_an_array_without_a_valid_task_is_422(scene: Scene) -> None:
    answer = await scene.post([{}, {"url": "/x", "timeout": -1}])
    assert answer.status_code == 422
    assert [each["status"] for each in answer.json()["results"]] == [422, 422]


async def test_a_thousand_tasks_are_taken_and_one_more_is_not(scene: Scene) -> None:
    answer = await scene.post([{"url": "/x"}] * 1000)
    assert {each["status"] for each in answer.json()["results"]} == {202}
    runs = {(e.task.id, e.run, e.gen) for _, e in scene.world.broker.published}
    assert len(runs) == 1000
    is_problem(await scene.post([{"url": "/x"}] * 1001), 422)
    assert len(scene.kept) == 1000


async def test_a_task_too_large_is_413_alone_and_422_among_others(scene: Scene) -> None:
    large = {"url": "/x", "payload": "x" * 2048}
    document = is_problem(await scene.post(large), 413)
    assert document["title"] == "Content Too Large"
    assert "max_message_bytes = 2048" in document["detail"]
    answer = await scene.post([large, {"url": "/x"}])
    assert [each["status"] for each in answer.json()["results"]] == [422, 202]


async def test_a_large_array_of_small_tasks_is_taken(scene: Scene) -> None:
    answer = await scene.post(
        b"[" + b",".join([b'{"url":"/x","payload":"' + b"y" * 1900 + b'"}'] * 900) + b"]"
    )
    assert answer.status_code == 202


async def test_an_array_beyond_the_bound_is_413_announced_or_not(scene: Scene) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"["
        for _ in range(17):
            yield b" " * 1024 * 1024

    for content in (b"[" + b" " * 17 * 1024 * 1024, endless()):
        answer = await scene.client.post("/v1/tasks", content=content, headers=JSON)
        is_problem(answer, 413)


async def test_an_array_of_millions_of_numbers_costs_no_memory(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_problem(await scene.post(b"[" + b"1," * 200_000 + b"1]"), 422)
    many = b'{"url":"/x","payload":"a"},' * 1001
    monkeypatch.setattr(body, "_COMMAS", 1000)
    assert "not 1001" in is_problem(await scene.post(b"[" + many[:-1] + b"]"), 422)["detail"]


async def test_a_body_that_does_not_come_is_given_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.client.base_url.port)
    writer.write(b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
    assert head == b"HTTP/1.1 408 Request Timeout\r\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("said", [b"", b"POST /v1/tasks HTT", b"GET /livez HTTP/1.1\r\n\r\nGET /"])
async def test_who_does_not_get_round_to_asking_is_hung_up_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.client.base_url.port)
    writer.write(said.replace(b"\r\n\r\n", b"\r\nHost: localhost\r\n\r\n"))
    answered = await asyncio.wait_for(reader.read(), 10)
    assert answered.startswith(b"HTTP/1.1 200" if b"livez" in said else b"")
    assert answered.count(b"HTTP/1.1") == said.count(b"livez")
    writer.close()
    await writer.wait_closed()


async def test_who_has_asked_is_not_hung_up_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"url": '
        await asyncio.sleep(0.2)  # the time itself is the subject
        yield b'"/x"}'

    answer = await scene.client.post("/v1/tasks", content=slowly(), headers=JSON)
    assert answer.status_code == 202


async def test_bodies_in_hand_at_one_time_are_bounded(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "IN_HAND_BYTES", 1000)
    answer = await scene.post({"url": "/x", "payload": "x" * 1500})
    is_problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    for _ in range(20):
        assert (await scene.post({"url": "/x", "payload": "x" * 500})).status_code == 202


async def test_a_blocked_broker_is_503_and_says_when_to_come_again(scene: Scene) -> None:
    scene.world.broker.block(blocked=True)
    answer = await scene.post({"url": "/x"})
    document = is_problem(answer, 503)
    assert "by a test" in document["detail"]
    assert int(answer.headers["retry-after"]) > 0
    mixed = await scene.post([{"url": "/x"}, {}])
    assert mixed.status_code == 503
    assert int(mixed.headers["retry-after"]) > 0
    assert [each["status"] for each in mixed.json()["results"]] == [503, 422]
    assert mixed.json()["results"][0]["problem"]["title"] == "Service Unavailable"
    assert scene.kept == []


async def test_a_daemon_that_stops_takes_nothing_more(scene: Scene) -> None:
    scene.world.intake.close("the daemon is stopping")
    document = is_problem(await scene.post({"url": "/x"}), 503)
    assert document["detail"] == "the daemon is stopping"


async def test_a_wrong_method_names_the_right_one(scene: Scene) -> None:
    answer = await scene.client.put("/v1/tasks", content=b"{}")
    is_problem(answer, 405)
    assert answer.headers["allow"] == "GET, POST"
    is_problem(await scene.client.get("/v1/task"), 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:7676"}, 202),
        ({"Host": "LOCALHOST."}, 202),
        ({"Host": "app.localhost"}, 202),
        ({"Host": "[::1]:80"}, 202),
        ({"Host": "10.0.0.7"}, 202),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:7676"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 202),
        ({"Host": "localhost:80", "Origin": "http://localhost"}, 202),
        ({"Host": "localhost", "Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "none"}, 202),
    ],
)
async def test_pages_of_elsewhere_may_not_queue_tasks(
    scene: Scene, headers: dict[str, str], status: int
) -> None:
    answer = await scene.post({"url": "/x"}, **headers)
    assert answer.status_code == status
    if status == 403:
        is_problem(answer, 403)
        assert scene.kept == []


async def test_reading_is_refused_under_a_foreign_name_only(scene: Scene) -> None:
    foreign = await scene.client.get("/readyz", headers={"Host": "evil.example"})
    assert foreign.status_code == 403
    page = await scene.client.get("/readyz", headers={"Origin": "https://evil.example"})
    assert page.status_code == 200


async def test_any_name_is_answered_to_where_others_may_reach_it() -> None:
    async with serving(ApiServer("0.0.0.0:0", served_by())) as client:
        port = client.base_url.port
        answer = await client.get(
            f"http://127.0.0.1:{port}/readyz", headers={"Host": "runner.internal"}
        )
    assert answer.status_code == 200


async def test_the_document_of_the_api_tells_what_is_taken_and_answered(scene: Scene) -> None:
    document = (await scene.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    post = document["paths"]["/v1/tasks"]["post"]
    one, many = post["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert (one["$ref"], many["maxItems"]) == ("#/components/schemas/Task", 1000)
    taken, refused = {"200", "202"}, {"400", "408", "409", "413", "415", "422", "501", "503"}
    assert set(post["responses"]) == taken | refused | {"401", "403", "429"}
    for answer in taken:
        for link in post["responses"][answer]["links"].values():
            assert link["operationId"] in operations(document)
    schemas = document["components"]["schemas"]
    assert schemas["Task"]["required"] == ["url"]
    assert {"payload", "metadata", "roll_back", "eta"} <= set(schemas["Task"]["properties"])
    named = {word.rpartition("/")[2] for word in references(document)}
    assert named <= set(schemas)


def operations(document: Any) -> set[str]:
    return {each["operationId"] for path in document["paths"].values() for each in path.values()}


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(each) for each in node.values()))
    if isinstance(node, list):
        return set().union(*(references(each) for each in node))
    return set()
