"""`send` to the HTTP API of a daemon, which a stand-in plays."""

import json
from collections.abc import Iterator

import pytest

from tests.parts.ports import free_port
from tests.parts.receiver import Answer
from tests.parts.tasks_api import PROBLEM, Message, TasksApi, judge, wrong
from tests.unit.cli.conftest import Run


def strict(message: Message) -> Message:
    """Judge like a daemon with fewer queues and a queue of its own for the rest."""
    if message.get("queue") == "nowhere":
        return wrong("queue", "unknown_queue", "'nowhere' is not one of default")
    if message.get("countdown", 0) > 100:
        return wrong("countdown", "too_far", "is further away than max_delay")
    return judge(message)


@pytest.fixture
def api() -> Iterator[TasksApi]:
    with TasksApi(strict) as started:
        yield started


TOKENS = f'tokens = [{{name = "ops", hash = "sha256:{"0" * 64}"}}]\n'


def embedded(api: TasksApi, host: str = "127.0.0.1") -> str:
    return f'server = "embedded::memory:"\n[api]\nlisten = "{host}:{api.receiver.port}"\n{TOKENS}'


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_with_the_embedded_broker_tasks_go_to_the_daemon(
    host: str, run: Run, api: TasksApi
) -> None:
    result = run("send", "http://h/x", "--id", "order-7", config_text=embedded(api, host))
    assert result.exit_code == 0, result.output
    assert result.stdout == "order-7\n"
    assert api.messages() == [{"url": "http://h/x", "id": "order-7"}]


def test_the_payload_is_posted_as_it_was_written(run: Run, api: TasksApi) -> None:
    written = '{"url": "http://h/", "payload":  {"a": 1.0, "b":1e2}, "more": "\\u00e9"}'
    result = run("send", "-", "--url", api.url, stdin=written)
    assert result.exit_code == 0, result.output
    (request,) = api.receiver.requests
    assert b'"payload":{"a": 1.0, "b":1e2},"more":"\\u00e9","id":"' in request.body
    assert result.stdout.strip() == api.messages()[0]["id"]


def test_a_queue_is_given_to_those_that_name_none(run: Run, api: TasksApi) -> None:
    lines = '{"url": "http://h/", "queue": "own"}\n{"url": "http://h/", "queue": null}'
    result = run("send", "-", "--url", api.url, "-q", "mail", "-o", "json", stdin=lines)
    assert [each["queue"] for each in json.loads(result.stdout)] == ["own", "mail"]


def test_many_go_in_arrays(run: Run, api: TasksApi) -> None:
    lines = "\n".join(json.dumps({"url": "http://h/", "id": f"t{n}"}) for n in range(1200))
    result = run("send", "-", "-o", "json", stdin=lines, config_text=embedded(api))
    assert result.exit_code == 0, result.output
    assert [len(array) for array in api.arrays()] == [1000, 200]
    assert [each["id"] for each in json.loads(result.stdout)] == [f"t{n}" for n in range(1200)]


def test_what_breaks_a_rule_is_told_before_anything_is_posted(run: Run, api: TasksApi) -> None:
    lines = '{"url": "http://h/"}\n{"url": 5}\n'
    result = run("send", "-", stdin=lines, config_text=embedded(api))
    assert result.exit_code == 2
    assert "error: message 2: url: " in result.stderr
    assert api.arrays() == []


def test_another_daemon_is_not_judged_by_the_configuration_here(run: Run, api: TasksApi) -> None:
    unusable = 'server = "embedded:relative"\nstrict = 5\n'
    message = '{"url": "/path", "more": 1, "countdown": 50, "payload": "' + "x" * 2_000_000 + '"}'
    result = run("send", "-", "--url", api.url, stdin=message, config_text=unusable)
    assert result.exit_code == 0, result.output
    assert "base_url" not in result.stderr


def test_what_the_daemon_refuses_has_the_exit_code_of_a_bad_message(
    run: Run, api: TasksApi
) -> None:
    result = run("send", "http://h/", "--countdown", "500", "--url", api.url)
    assert result.exit_code == 2
    assert "error: countdown: is further away than max_delay\n" in result.stderr
    assert result.stdout == ""


def test_a_queue_that_the_daemon_does_not_have_is_exit_3(run: Run, api: TasksApi) -> None:
    result = run("send", "http://h/", "--queue", "nowhere", "--url", api.url)
    assert result.exit_code == 3
    assert "error: queue: 'nowhere' is not one of default" in result.stderr


def test_refusals_among_many_are_told_by_number_and_the_others_are_sent(
    run: Run, api: TasksApi
) -> None:
    late = '{"url": "http://h/", "countdown": 500}\n' * 12
    result = run("send", "-", "--url", api.url, stdin='{"url": "http://h/", "id": "a"}\n' + late)
    assert result.exit_code == 2
    assert result.stdout == "a\n"
    assert "warning: 1 of 13 messages were sent" in result.stderr
    assert "error: message 2: countdown: " in result.stderr
    assert "error: and 2 more" in result.stderr


def test_without_a_daemon_the_address_is_named_and_how_to_start_one(run: Run) -> None:
    port = free_port()
    text = f'server = "embedded::memory:"\n[api]\nlisten = "127.0.0.1:{port}"\n'
    result = run("send", "http://h/", config_text=text)
    assert result.exit_code == 69
    assert f"error: no daemon answers at http://127.0.0.1:{port} (" in result.stderr
    assert "webhook-runner serve" in result.stderr


def test_what_was_sent_before_the_daemon_was_gone_is_told(run: Run, api: TasksApi) -> None:
    api.instead(None, Answer(503, PROBLEM, b'{"status": 503, "detail": "the disk is full"}'))
    lines = "\n".join('{"url": "http://h/"}' for _ in range(1001))
    result = run("send", "-", "--url", api.url, "-o", "json", stdin=lines)
    assert result.exit_code == 69
    assert len(json.loads(result.stdout)) == 1000
    assert "warning: 1000 of 1001 messages were sent" in result.stderr
    assert "cannot take tasks now (503): the disk is full" in result.stderr


def test_a_stranger_at_the_address_is_exit_1(run: Run, api: TasksApi) -> None:
    api.instead(Answer(404))
    result = run("send", "http://h/", "--url", api.url)
    assert result.exit_code == 1
    assert "answered 404; is it the HTTP API of webhook_runner?" in result.stderr


@pytest.mark.parametrize("listen", ["", "127.0.0.1:0"])
def test_a_daemon_without_a_known_place_cannot_be_sent_to(listen: str, run: Run) -> None:
    text = f'server = "embedded::memory:"\n[api]\nlisten = "{listen}"\n'
    result = run("send", "http://h/", config_text=text)
    assert result.exit_code == 2
    assert f'[api] listen = "{listen}"' in result.stderr
    assert "--url" in result.stderr


def test_an_address_must_be_a_url(run: Run) -> None:
    result = run("send", "http://h/", "--url", "daemon:7676")
    assert result.exit_code == 2
    assert "write 'http://127.0.0.1:7676'" in result.stderr
