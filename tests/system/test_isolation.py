"""Hosts that are dead, slow, busy or mended again: what the others of their queue notice of it."""

import http.client
import json
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts.intake import Intake
from tests.parts.ports import free_port
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer, Receiver, Request

pytestmark = pytest.mark.system

NEVER = "min_backoff_seconds = 3600\njitter = 0\n"
QUICK = "[breaker]\nopen_seconds = 0.3\nmax_open_seconds = 0.3\n"
HOLD = [Answer(hang=True)]


@contextmanager
def black_hole() -> Iterator[str]:
    """Give the URL of a port that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def at_work(receiver: Receiver, queue: str = NEVER, top: str = "") -> Iterator[Intake]:
    intake = Intake("embedded::memory:", receiver, top=top, queue=queue)
    with intake.daemon:
        intake.daemon.ready()
        yield intake


def named(intake: Intake, url: str) -> dict[str, object]:
    """Return how the destination of a URL stands."""
    found = json.loads(intake.ask("GET", "/v1/destinations").body)["items"]
    name = url.removeprefix("http://").partition("/")[0]
    return next(each for each in found if each["destination"] == name)


def waits(intake: Intake, reason: str) -> int:
    """Count how often the tasks were sent away for that reason."""
    return sum(
        each["event"] == "task.scheduled" and each["reason"] == reason
        for each in tuple(intake.daemon.events)
    )


def until(intake: Intake, reason: str, count: int) -> None:
    """Wait until tasks were sent away so often for that reason."""
    while True:
        mark = intake.daemon.mark()  # before the count: none may come unseen in between
        if waits(intake, reason) >= count:
            return
        intake.daemon.wait_for_event("task.scheduled", after=mark, reason=reason, timeout=20)


def post(port: int, path: str) -> int:
    """Post to the API of a daemon; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path)
        return connection.getresponse().status
    finally:
        connection.close()


def attempts(requests: list[Request]) -> set[str | None]:
    return {request.header("Webhook-Runner-Attempt") for request in requests}


def test_dead_and_slow_hosts_do_not_stop_the_good_ones_of_their_queue() -> None:
    with black_hole() as dead, Receiver() as slow, Receiver() as one, Receiver() as two:
        slow.script("/x", HOLD)
        with at_work(one) as intake:
            bad = [{"url": f"{dead}/x", "timeout": 0.5, "max_retries": 0} for _ in range(60)]
            late = [{"url": f"{slow.url}/x"} for _ in range(60)]
            good = [{"url": f"{each.url}/x"} for _ in range(100) for each in (one, two)]
            intake.post([*bad[:20], *late[:20], *good[:50], *bad[20:], *late[20:], *good[50:]])
            one.wait_for(100, timeout=30)
            two.wait_for(100, timeout=30)

            assert slow.peak_in_flight == slow.in_flight <= 5  # none of them has ended
            intake.daemon.wait_for_event("breaker.opened", timeout=30)
            assert named(intake, dead)["state"] in {"open", "half_open"}
            slow.release()
            slow.wait_for(60, timeout=60)
            assert attempts(slow.requests) == {"1"}
            assert slow.peak_in_flight <= 5


def test_the_breaker_sends_one_probe_at_a_time_and_closes_after_two() -> None:
    with Receiver() as host, Receiver() as other, at_work(other, top=QUICK) as intake:
        host.script("/bad", [Answer(500)])
        host.script("/x", HOLD)
        intake.post([{"url": f"{host.url}/bad", "max_retries": 0} for _ in range(20)])
        intake.daemon.wait_for_event("breaker.opened", reason="failures", failures=20)
        intake.post([{"url": f"{host.url}/x"} for _ in range(10)])
        host.wait_for(1, "/x")
        until(intake, "breaker_open", waits(intake, "breaker_open") + 15)
        assert host.in_flight == len(host.received("/x")) == 1
        assert named(intake, host.url)["state"] == "half_open"
        host.release("/x")
        intake.daemon.wait_for_event("breaker.closed")
        host.wait_for(10, "/x", timeout=20)

        assert attempts(host.received("/x")) == {"1"}
        assert len(host.received("/x")) == 10
        page = intake.ask("GET", "/metrics").body.decode()
        assert 'webhook_runner_breaker_state{state="closed"} 1.0' in page
        assert 'webhook_runner_breaker_changes_total{state="open"} 1.0' in page


def test_retry_after_pauses_its_destination_alone_and_charges_nobody() -> None:
    with Receiver() as busy, Receiver() as other, at_work(other) as intake:
        busy.script("/x", [Answer(503, {"Retry-After": "3600"})])
        intake.post({"url": f"{busy.url}/x"})
        intake.daemon.wait_for_event("task.retry.scheduled")
        both = [{"url": f"{each.url}/x"} for _ in range(20) for each in (busy, other)]
        intake.post(both)
        other.wait_for(20)
        until(intake, "destination_paused", 20)
        held = [each for each in intake.daemon.events if each.get("reason") == "destination_paused"]

        assert len(busy.requests) == 1
        assert Counter(each["attempt"] for each in held) == {1: 20}
        assert named(intake, busy.url)["state"] == "paused"


def test_a_decision_outlives_the_daemon_and_is_taken_back(tmp_path: Path) -> None:
    with Receiver() as host:
        intake = Intake(f"embedded:{tmp_path}/queue.db", host)
        name = host.url.removeprefix("http://")
        with intake.daemon as daemon:
            daemon.ready()
            assert intake.ask("POST", f"/v1/destinations/{name}/open").status == 200
            daemon.signal(signal.SIGTERM)
            assert daemon.wait(20) == 0
            again = daemon.mark()
            daemon.start()
            daemon.ready(after=again)
            intake.post({"url": "/x"})
            daemon.wait_for_event("task.scheduled", reason="breaker_open", after=again)
            assert (named(intake, host.url)["state"], host.requests) == ("open", [])
            closed = intake.ask("POST", f"/v1/destinations/{name}/close").json()
            assert (closed["state"], closed["forced"]) == ("closed", False)
            host.wait_for(1, timeout=20)


def test_a_reload_switches_the_breaker_off() -> None:
    with Receiver() as host, at_work(host) as intake:
        host.script("/bad", [Answer(500)])
        intake.post([{"url": "/bad", "max_retries": 0} for _ in range(20)])
        intake.daemon.wait_for_event("breaker.opened")
        text = intake.daemon.config_file.read_text()
        intake.daemon.configure(text + "[breaker]\nenabled = false\n")
        intake.daemon.signal(signal.SIGHUP)
        intake.daemon.wait_for_event("config.reloaded", changes=["breaker.enabled"])
        intake.post([{"url": "/bad", "max_retries": 0} for _ in range(30)])
        host.wait_for(50)


@pytest.mark.rabbitmq
def test_what_is_decided_at_one_daemon_is_heard_by_the_others_and_by_the_next(
    rabbit_stage: RabbitStage,
) -> None:
    host = rabbit_stage.receiver.url.removeprefix("http://")
    ports = [free_port() for _ in range(3)]
    tops = [f'[api]\nlisten = "127.0.0.1:{port}"\n' for port in ports]
    first, second = (rabbit_stage.daemon({"a": ""}, top=top) for top in tops[:2])
    for word, event in (("open", "breaker.opened"), ("close", "breaker.closed"), ("open", "")):
        before = first.mark(), second.mark()
        assert post(ports[0], f"/v1/destinations/{host}/{word}") == 200
        for daemon, mark in zip((first, second), before, strict=True):
            daemon.wait_for_event(event or "breaker.opened", destination=host, after=mark)
    third = rabbit_stage.daemon({"a": ""}, top=tops[2])
    third.wait_for_event("breaker.opened", destination=host, reason="request")
    rabbit_stage.publish("a", *({"url": "/x"} for _ in range(10)))
    rabbit_stage.wait_for_depths("a", 0, 0)

    assert rabbit_stage.receiver.requests == []
