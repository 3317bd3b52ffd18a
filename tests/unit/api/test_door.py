"""Who may come in and how often: tokens, roles, host names, rates, patience."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from tests.parts.house import House, served
from webhook_runner.api import limits
from webhook_runner.api.credentials import Credentials, Role, fresh_token, hash_of, token_line
from webhook_runner.api.limits import Pace, TimedApp
from webhook_runner.errors import ConfigError
from webhook_runner.settings import ApiSettings, TokenSettings
from webhook_runner.task.event import TaskSucceeded

OPS, VIEW = "token-of-ops", "token-of-view"
TOKENS = (
    TokenSettings(name="ops", role="full", hash=hash_of(OPS)),
    TokenSettings(name="view", role="read", hash=hash_of(VIEW)),
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, token: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{token}'.encode()).decode()}"}


def test_a_fresh_token_is_known_by_the_line_that_is_printed_for_it() -> None:
    token = fresh_token()
    assert len(token) == 43
    assert token not in token_line("ops", Role.READ, token)
    known = TokenSettings(name="ops", role="read", hash=hash_of(token))
    caller = Credentials(ApiSettings(tokens=(known,))).caller(f"bearer {token}")
    assert caller is not None
    assert (caller.name, caller.role) == ("ops", Role.READ)


def test_a_token_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    token = TokenSettings(name="ops", file=str(tmp_path / "token"))
    credentials = Credentials(ApiSettings(tokens=(token,)))
    assert credentials.caller("Bearer secret") is not None
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        credentials.adopt(ApiSettings(tokens=(token,)))
    assert credentials.caller("Bearer secret") is not None


@pytest.mark.parametrize(
    "authorization",
    [
        *(
            "",
            "Bearer",
            "Bearer ",
            f"Bearer {OPS}x",
            f"Token {OPS}",
            OPS,
            "Basic !!!",
            "Basic \xff",
        ),
        *(basic(*each)["Authorization"] for each in (("view", OPS), ("", OPS), ("ops", ""))),
        "Bearer " + "x" * 100_000,
    ],
)
def test_anything_else_is_nobody(authorization: str) -> None:
    assert Credentials(ApiSettings(tokens=TOKENS)).caller(authorization) is None


async def test_without_tokens_nobody_is_asked() -> None:
    async with served(House()) as client:
        assert (await client.get("/v1/queues")).status_code == 200


async def test_with_tokens_only_health_is_open() -> None:
    async with served(House(api={"tokens": TOKENS})) as client:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200
        for path in ("/v1/queues", "/v1/tasks", "/openapi.json", "/nowhere"):
            refused = await client.get(path)
            assert (refused.status_code, refused.json()["status"]) == (401, 401)
            challenges = refused.headers.get_list("www-authenticate")
            assert [each.split()[0] for each in challenges] == ["Bearer", "Basic"]
        wrong = await client.post("/v1/tasks", json={"url": "/x"}, headers=bearer("guess"))
        assert wrong.status_code == 401


@pytest.mark.parametrize("headers", [bearer(OPS), basic("ops", OPS)])
async def test_a_full_token_may_do_everything(headers: dict[str, str]) -> None:
    async with served(House(api={"tokens": TOKENS})) as client:
        answer = await client.post("/v1/tasks", json={"url": "/x"}, headers=headers)
        assert answer.status_code == 202
        behind_a_proxy = {"Host": "runner.example.com", **headers}
        assert (await client.get("/v1/queues", headers=behind_a_proxy)).status_code == 200
        page = {"Origin": "https://evil.example", **headers}
        lured = await client.post("/v1/tasks", json={"url": "/x"}, headers=page)
        assert lured.status_code == 403


async def test_a_token_to_read_changes_nothing_and_sees_no_messages() -> None:
    house = House(api={"tokens": TOKENS})
    async with served(house) as client:
        task = {
            "id": "a",
            "url": "http://app.test/x?key=secret",
            "payload": 1,
            "metadata": {"k": "secret"},
        }
        await client.post("/v1/tasks", json=task, headers=bearer(OPS))
        await house.seen.wait_for(TaskSucceeded)
        client.headers.update(bearer(VIEW))
        for method, path in (("POST", "/v1/tasks"), ("DELETE", "/v1/tasks/a")):
            assert (await client.request(method, path)).status_code == 403
        seen = (await client.get("/v1/tasks/a")).json()
        assert (seen["url"], seen["metadata"]) == ("http://app.test/x?key=***", None)
        assert "secret" not in (await client.get("/v1/tasks")).text
        assert (await client.get("/v1/tasks/a/attempts")).json()["items"][0]["response"] is None
        for path in ("/v1/tasks/a?message=true", "/v1/queues/default/dead/export"):
            assert (await client.get(path)).status_code == 403


async def test_each_token_has_a_rate_and_nobody_learns_of_it_by_guessing() -> None:
    async with served(House(api={"tokens": TOKENS, "rate": 0.01})) as client:
        answers = [await client.get("/v1/queues", headers=bearer(OPS)) for _ in range(2)]
        assert [each.status_code for each in answers] == [200, 429]
        assert 50 <= int(answers[1].headers["retry-after"]) <= 100
        assert answers[1].json()["status"] == 429
        assert (await client.get("/v1/queues", headers=bearer(VIEW))).status_code == 200
        guesses = [await client.get("/v1/queues", headers=bearer("guess")) for _ in range(3)]
        assert {each.status_code for each in guesses} == {401}
        assert (await client.get("/livez")).status_code == 200


def test_a_rate_is_changed_by_a_reload() -> None:
    now = 0.0
    pace = Pace(1.0, lambda: now)
    assert [pace.wait("ops"), pace.wait("ops")] == [0.0, 1.0]
    pace.adopt(float("inf"))
    assert [pace.wait("ops"), pace.wait("ops")] == [0.0, 0.0]
    pace.adopt(10.0)
    assert pace.wait("ops") >= 0


async def test_tokens_are_changed_by_a_reload() -> None:
    house = House(api={"tokens": TOKENS})
    async with served(house) as client:
        house.door.adopt(ApiSettings(tokens=TOKENS[1:]))
        assert (await client.get("/v1/queues", headers=bearer(OPS))).status_code == 401
        assert (await client.get("/v1/queues", headers=bearer(VIEW))).status_code == 200


async def asked(app: Any, *received: Message) -> list[Message]:
    """Ask an ASGI application; return what it sent."""
    incoming, sent = iter(received), list[Message]()

    async def receive() -> Message:
        return next(incoming)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/v1/x", "method": "GET", "headers": [], "app": FastAPI()}
    await app(scope, receive, send)
    return sent


async def test_a_request_that_takes_too_long_is_answered_503(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.Event().wait()

    monkeypatch.setattr(limits, "BODY_SECONDS", 0.01)
    body: Message = {"type": "http.request", "body": b"", "more_body": False}
    start, answer = await asked(TimedApp(never, 0.01), body)
    assert (start["status"], b"may be done all the same" in answer["body"]) == (503, True)


async def test_what_has_begun_to_be_answered_has_all_the_time_it_takes() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"done"})

    start, end = await asked(TimedApp(slow, 0.01))
    assert (start["status"], end["body"]) == (200, b"done")
