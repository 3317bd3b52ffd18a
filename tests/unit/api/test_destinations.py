"""Destinations by HTTP: listed, opened, closed, over the real engine."""

from collections.abc import AsyncIterator
from hashlib import sha256

import httpx2
import pytest

from tests.parts.house import House, served
from webhook_runner.settings import TokenSettings
from webhook_runner.task.event import AttemptFinished, TaskScheduled, TaskSucceeded

APP = "app.test:80"


@pytest.fixture
async def house() -> House:
    return House()


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(house) as client:
        yield client


async def test_what_was_called_is_listed(house: House, client: httpx2.AsyncClient) -> None:
    await client.post("/v1/tasks", json={"url": "/x"})
    await house.seen.wait_for(AttemptFinished)
    answer = await client.get("/v1/destinations")
    assert answer.json() == {
        "items": [
            {
                "destination": APP,
                "state": "closed",
                "until": None,
                "requests": 1,
                "failures": 0,
                "held": 0,
                "forced": False,
            }
        ],
        "next": None,
    }
    assert (await client.get("/v1/destinations?state=open")).json()["items"] == []


async def test_one_that_is_opened_gets_no_requests_until_it_is_closed(
    house: House, client: httpx2.AsyncClient
) -> None:
    opened = await client.post(f"/v1/destinations/{APP}/open")
    assert opened.status_code == 200
    assert (opened.json()["state"], opened.json()["forced"]) == ("open", True)
    await client.post("/v1/tasks", json={"url": "/x"})
    scheduled = await house.seen.wait_for(TaskScheduled)
    assert scheduled.why == "breaker_open"
    assert house.dispatcher.sent == []
    closed = await client.post(f"/v1/destinations/{APP}/close")
    assert (closed.json()["state"], closed.json()["forced"]) == ("closed", False)
    await house.seen.wait_for(TaskSucceeded)


async def test_lists_have_pages_and_names_one_form(client: httpx2.AsyncClient) -> None:
    for name in ("b.test:1", "A.test:1", "[::1]:80", "192.0.2.1:443"):
        kept = await client.post(f"/v1/destinations/{name}/close?keep=true")
        assert (kept.status_code, kept.json()["forced"]) == (200, True)
    names, cursor = list[str](), ""
    while cursor is not None:
        page = (await client.get(f"/v1/destinations?limit=2&cursor={cursor}")).json()
        names += [each["destination"] for each in page["items"]]
        cursor = page["next"]
    assert names == ["192.0.2.1:443", "[::1]:80", "a.test:1", "b.test:1"]


@pytest.mark.parametrize(
    "name", ["app.test", "app.test:0", "app.test:65536", "a..b:80", "127.1:80", "a@b:80", "[:]:80"]
)
async def test_what_is_no_destination_is_refused(client: httpx2.AsyncClient, name: str) -> None:
    answer = await client.post(f"/v1/destinations/{name}/open")
    assert answer.status_code == 422, answer.text


async def test_a_token_that_may_only_read_decides_nothing() -> None:
    secret = "r" * 40
    known = f"sha256:{sha256(secret.encode()).hexdigest()}"
    tokens = (TokenSettings(name="see", role="read", hash=known),)
    async with served(House(api={"tokens": tokens})) as client:
        headers = {"Authorization": f"Bearer {secret}"}
        assert (await client.get("/v1/destinations", headers=headers)).status_code == 200
        answer = await client.post(f"/v1/destinations/{APP}/open", headers=headers)
        assert answer.status_code == 403
