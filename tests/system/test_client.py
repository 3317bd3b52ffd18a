"""The Python client and `send` against the real daemon on the embedded broker."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.parts.daemon import ROOT, Daemon
from tests.parts.embedded import EmbeddedSite
from tests.parts.receiver import Receiver
from webhook_runner.client import (
    Accepted,
    AsyncClient,
    Client,
    InvalidTaskError,
    Rejected,
    ServiceUnavailableError,
    Task,
)
from webhook_runner.client.task import Sendable

pytestmark = pytest.mark.system

MANY = 2500


@pytest.fixture
def site(tmp_path: Path, receiver: Receiver) -> EmbeddedSite:
    return EmbeddedSite(tmp_path, receiver)


@pytest.fixture
def daemon(site: EmbeddedSite) -> Iterator[Daemon]:
    with site.daemon() as started:
        started.ready()
        yield started


def batch() -> list[Sendable]:
    return [Task(url="/batch", id=f"t{number}", payload=number) for number in range(MANY)]


def ids(receiver: Receiver) -> list[str]:
    return [request.header("Idempotency-Key") or "" for request in receiver.received("/batch")]


def all_arrive(receiver: Receiver) -> None:
    """Wait until every task of the batch has arrived; some may have done so twice."""
    receiver.wait_for(MANY, "/batch", timeout=90)
    receiver.wait_until(lambda: len(set(ids(receiver))) == MANY, timeout=30)


def send(*arguments: str, daemon: Daemon) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WEBHOOK_RUNNER_")}
    return subprocess.run(
        [sys.executable, "-m", "webhook_runner", "send", *arguments],
        env=clean | {"TASKQUEUE_CONFIG_FILE": str(daemon.config_file)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.usefixtures("daemon")
def test_a_task_of_the_client_arrives_byte_for_byte(site: EmbeddedSite) -> None:
    written = b'{"a": 1.0, "b":1e2,  "c": "\\u00e9"}'
    with Client(site.api) as client:
        said = client.send("/hello", payload=written, headers={"X-A": "1"}, countdown=0.2)
    (request,) = site.receiver.wait_for(1, "/hello")
    assert said.queue == "default"
    assert request.body == written
    assert request.header("X-A") == "1"
    assert request.header("Idempotency-Key") == said.id


@pytest.mark.usefixtures("daemon")
async def test_many_awaited_sends_go_at_once(site: EmbeddedSite) -> None:
    async with AsyncClient(site.api) as client:
        said = await asyncio.gather(*(client.send("/batch", payload=n) for n in range(50)))
    await site.receiver.wait_for_async(50, "/batch")
    assert sorted(ids(site.receiver)) == sorted(each.id for each in said)


@pytest.mark.usefixtures("daemon")
def test_a_large_batch_with_invalid_tasks_in_it_is_sent_in_order(site: EmbeddedSite) -> None:
    tasks = batch()
    tasks[3] = {"url": "/batch", "id": "bad", "countdown": "soon"}
    tasks[1700] = Task(url="/batch", id="bad", payload=b"{")
    tasks[2499] = Task(url="/batch", id="bad", queue="nowhere")
    with Client(site.api) as client:
        results = client.send_many(tasks)
    refused = {
        n: each.problem.fault for n, each in enumerate(results) if isinstance(each, Rejected)
    }
    assert {n: (fault.field, fault.reason) for n, fault in refused.items()} == {
        3: ("countdown", "wrong_type"),
        1700: ("payload", "not_json"),
        2499: ("queue", "unknown_queue"),
    }
    good = [f"t{number}" for number in range(MANY) if number not in refused]
    assert [each.id for each in results if isinstance(each, Accepted)] == good
    site.receiver.wait_for(len(good), "/batch", timeout=90)
    assert sorted(ids(site.receiver)) == sorted(good)


@pytest.mark.usefixtures("daemon")
def test_an_invalid_task_has_the_daemons_own_words(site: EmbeddedSite) -> None:
    with Client(site.api) as client, pytest.raises(InvalidTaskError) as caught:
        client.send("/hello", max_retries=-2)
    assert (caught.value.field, caught.value.reason) == ("max_retries", "out_of_range")
    assert "must be an integer from -1" in caught.value.detail
    assert str(caught.value).count("max_retries") == 1


def test_a_daemon_killed_in_the_middle_of_a_batch_loses_nothing_of_it(
    site: EmbeddedSite, daemon: Daemon
) -> None:
    with Client(site.api) as client, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.send_many, batch())
        site.receiver.wait_for(1, "/batch")
        daemon.restart()
        results = sending.result(timeout=60)
    assert results == [Accepted(f"t{number}", "default") for number in range(MANY)]
    all_arrive(site.receiver)


def test_a_daemon_that_is_away_between_arrays_is_waited_for(
    site: EmbeddedSite, daemon: Daemon
) -> None:
    def interrupted() -> Iterator[Sendable]:
        for number, task in enumerate(batch()):
            if number == 1500:
                daemon.terminate()
                daemon.start()
            yield task

    with Client(site.api) as client:
        results = client.send_many(interrupted())
    assert results == [Accepted(f"t{number}", "default") for number in range(MANY)]
    all_arrive(site.receiver)


def test_the_command_posts_to_the_daemon_of_the_configuration(
    site: EmbeddedSite, daemon: Daemon
) -> None:
    result = send("/hello", "--payload", '{"a": 1.0}', "--output", "json", daemon=daemon)
    assert result.returncode == 0, result.stderr
    (said,) = json.loads(result.stdout)
    (request,) = site.receiver.wait_for(1, "/hello")
    assert request.header("Idempotency-Key") == said["id"]
    assert request.body == b'{"a": 1.0}'
    refused = send("/hello", "--queue", "nowhere", daemon=daemon)
    assert refused.returncode == 3, refused.stderr


def test_after_the_daemons_end_both_say_where_nobody_answers(
    site: EmbeddedSite, daemon: Daemon
) -> None:
    daemon.terminate()
    result = send("/hello", daemon=daemon)
    assert result.returncode == 69
    assert f"no daemon answers at {site.api}" in result.stderr
    assert "webhook-runner serve" in result.stderr
    with Client(site.api, timeout=0) as client, pytest.raises(ServiceUnavailableError):
        client.send("/hello")
