"""Both clients over a real connection: what is sent, what is lost, what is repeated."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from tests.parts.hostile import Close, HostileServer, Read, Send, Silence
from tests.parts.ports import free_port
from tests.parts.receiver import Answer
from tests.parts.tasks_api import PATH, PROBLEM, TasksApi
from webhook_runner import __version__
from webhook_runner.client import (
    Accepted,
    AsyncClient,
    Client,
    InvalidTaskError,
    Rejected,
    ServiceUnavailableError,
    Task,
    UnexpectedAnswerError,
)
from webhook_runner.client.answer import Result
from webhook_runner.client.task import Sendable

BUSY = Answer(503, {**PROBLEM, "Retry-After": "0.2"}, b'{"status": 503, "detail": "disk full"}')


class SendMany(Protocol):
    def __call__(self, url: str, tasks: list[Sendable], timeout: float = 30.0) -> list[Result]: ...


def blocking(url: str, tasks: list[Sendable], timeout: float = 30.0) -> list[Result]:
    with Client(url, timeout=timeout) as client:
        return client.send_many(tasks)


def awaited(url: str, tasks: list[Sendable], timeout: float = 30.0) -> list[Result]:
    async def send() -> list[Result]:
        async with AsyncClient(url, timeout=timeout) as client:
            return await client.send_many(tasks)

    return asyncio.run(send())


both = pytest.mark.parametrize("send_many", [blocking, awaited])


def test_a_url_and_its_wishes_become_a_task(api: TasksApi) -> None:
    with Client(api.url) as client:
        said = client.send("/hello", payload={"to": "you"}, queue="mail", countdown=2)
    (message,) = api.messages()
    assert said == Accepted(message["id"], "mail")
    assert message == {
        "url": "/hello",
        "payload": {"to": "you"},
        "queue": "mail",
        "countdown": 2,
        "id": said.id,
    }


def test_a_task_may_be_sent_with_other_wishes(api: TasksApi) -> None:
    letter = Task(url="/letter", queue="mail")
    with Client(api.url) as client:
        assert client.send(letter, id="a") == Accepted("a", "mail")
        assert client.send(letter, id="b", queue="slow") == Accepted("b", "slow")


async def test_the_awaited_client_sends_one_task(api: TasksApi) -> None:
    async with AsyncClient(api.url) as client:
        assert await client.send("/hello", id="a") == Accepted("a", "default")
        with pytest.raises(InvalidTaskError):
            await client.send("/hello", payload=b"{")


def test_an_invalid_task_says_what_to_mend(api: TasksApi) -> None:
    with Client(api.url) as client, pytest.raises(InvalidTaskError) as caught:
        client.send(Task(url=5, id="a"))  # type: ignore[arg-type]
    error = caught.value
    assert (error.id, error.field, error.reason) == ("a", "url", "wrong_type")
    assert error.detail == "must be a string"
    assert str(error) == "url: must be a string"
    assert error.problem.status == 422


@both
def test_a_batch_goes_over_one_connection(api: TasksApi, send_many: SendMany) -> None:
    tasks: list[Sendable] = [{"url": f"/{number}"} for number in range(1200)]
    tasks[7] = {"url": None, "id": "bad"}
    results = send_many(api.url, tasks)
    assert [len(array) for array in api.arrays()] == [1000, 200]
    assert [number for number, each in enumerate(results) if isinstance(each, Rejected)] == [7]
    assert [message["url"] for message in api.messages()] == [each["url"] for each in tasks]  # type: ignore[index]
    assert len({request.connection for request in api.receiver.requests}) == 1


def test_a_request_says_what_it_is_and_who_sends_it(api: TasksApi) -> None:
    with Client(api.url, headers={"Authorization": "Bearer t"}) as client:
        client.send("/")
    (request,) = api.receiver.requests
    assert request.method == "POST"
    assert request.header("Content-Type") == "application/json"
    assert request.header("User-Agent") == f"webhook_runner-client/{__version__}"
    assert request.header("Authorization") == "Bearer t"


def test_the_api_may_stand_below_a_path(api: TasksApi) -> None:
    api.receiver.script("/below" + PATH, api.answer)
    with Client(api.url + "/below/") as client:
        client.send("/", id="a")
    assert api.receiver.requests[0].path == "/below" + PATH


@both
def test_a_busy_daemon_is_asked_again(api: TasksApi, send_many: SendMany) -> None:
    api.instead(BUSY, BUSY)
    assert send_many(api.url, [Task(url="/", id="a")]) == [Accepted("a", "default")]
    assert len(api.arrays()) == 3


@both
def test_after_a_lost_answer_the_same_id_is_sent_again(api: TasksApi, send_many: SendMany) -> None:
    api.instead(Answer(reset=True))
    (said,) = send_many(api.url, [Task(url="/")])
    first, second = api.messages()
    assert first == second
    assert first["id"] == said.id


@both
def test_without_patience_a_lost_answer_leaves_the_task_in_doubt(
    api: TasksApi, send_many: SendMany
) -> None:
    api.instead(Answer(reset=True))
    with pytest.raises(ServiceUnavailableError, match="may have been done") as caught:
        send_many(api.url, [Task(url="/")], timeout=0)
    assert caught.value.in_doubt
    (task,) = caught.value.unsent
    assert send_many(api.url, [task]) == [Accepted(task.id or "", "default")]  # type: ignore[union-attr]
    assert api.messages()[0] == api.messages()[1]


@both
def test_where_nobody_listens_the_address_and_a_way_out_are_named(send_many: SendMany) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceUnavailableError) as caught:
        send_many(url, [Task(url="/", id="a")], timeout=0.3)
    assert f"no daemon answers at {url} (" in str(caught.value)
    assert "webhook-runner serve" in str(caught.value)
    assert not caught.value.in_doubt
    assert caught.value.problem is None
    assert caught.value.unsent == (Task(url="/", id="a"),)


def test_a_daemon_that_comes_in_time_is_found() -> None:
    said: list[Result] = []
    port = free_port()
    waiting = threading.Thread(
        target=lambda: said.extend(blocking(f"http://127.0.0.1:{port}", [Task(url="/", id="a")]))
    )
    waiting.start()
    with TasksApi(port=port) as api:
        api.receiver.wait_for(1)
        waiting.join()
    assert said == [Accepted("a", "default")]


@both
def test_an_answer_that_never_comes_is_waited_for_no_longer_than_allowed(
    send_many: SendMany,
) -> None:
    with (
        HostileServer([Read(), Silence()]) as silent,
        pytest.raises(ServiceUnavailableError, match="timed out") as caught,
    ):
        send_many(silent.url, [Task(url="/", id="a")], timeout=0.5)
    assert caught.value.in_doubt


@both
@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 202 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_an_answer_that_is_no_http_is_a_lost_one(nonsense: bytes, send_many: SendMany) -> None:
    with (
        HostileServer([Read(), Send(nonsense), Close()]) as stranger,
        pytest.raises(ServiceUnavailableError) as caught,
    ):
        send_many(stranger.url, [Task(url="/")], timeout=0)
    assert caught.value.in_doubt


def test_redirects_are_not_followed(api: TasksApi) -> None:
    api.instead(Answer(302, {"Location": api.url + "/elsewhere"}))
    with Client(api.url) as client, pytest.raises(UnexpectedAnswerError, match="302"):
        client.send("/")


def test_proxies_of_the_environment_are_not_used(
    api: TasksApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert blocking(api.url, [Task(url="/", id="a")], timeout=0) == [Accepted("a", "default")]


def test_a_password_in_the_address_is_used_and_never_told(api: TasksApi) -> None:
    with Client(api.url.replace("//", "//me:hush@")) as client:
        client.send("/")
        api.instead(Answer(404))
        with pytest.raises(UnexpectedAnswerError) as caught:
            client.send("/")
    assert api.receiver.requests[0].header("Authorization") == "Basic bWU6aHVzaA=="
    assert "hush" not in str(caught.value)
    assert api.url in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:7676", "127.0.0.1:7676", "ftp://h", "http://", "http://[::1"]
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_address_must_be_one(kind: Callable[[str], object], url: str) -> None:
    with pytest.raises(ValueError, match=r"write 'http://127.0.0.1:7676'"):
        kind(url)


def test_threads_may_share_a_client(api: TasksApi) -> None:
    with Client(api.url) as client, ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda number: client.send("/", id=f"t{number}"), range(100)))
    assert {each.id for each in said} == {message["id"] for message in api.messages()}
