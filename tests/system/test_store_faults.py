"""A store that goes away under a daemon: "strict", it waits; "degraded", it goes on."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.parts.cluster import Cluster
from tests.parts.daemon import Daemon
from tests.parts.disk import fill, small_disk
from tests.parts.embedded_stage import EmbeddedStage, NotAcceptedError
from tests.parts.receiver import Answer
from tests.parts.scene import attempts, eventually
from tests.parts.stage import QUICK
from tests.system.test_health import get

pytestmark = pytest.mark.system

Outage = Callable[[], Callable[[], object]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Outage]]:
    """The URL of a store, and how it is made to take nothing; what that answers mends it."""
    if request.param == "sqlite":
        with small_disk(tmp_path / "disk", "1m") as disk:
            yield f"sqlite:{disk}/state.db", lambda: fill(disk).unlink
        return
    cluster: Cluster = request.getfixturevalue("own_cluster")

    def stop() -> Callable[[], object]:
        cluster.stop()
        return cluster.go_on

    yield cluster.url, stop


@contextmanager
def daemon_on(stage: EmbeddedStage, url: str, on_failure: str) -> Iterator[Daemon]:
    store = f"[store]\nurl = {json.dumps(url)}\non_failure = {json.dumps(on_failure)}\n"
    daemon = stage.daemon({"a": QUICK}, top=store)
    yield daemon
    assert daemon.terminate() == 0


def notices(stage: EmbeddedStage, daemon: Daemon, path: str) -> None:
    """Let the daemon meet the trouble: by tasks that wait, for a full disk takes a little yet."""

    def has_failed() -> bool:
        with suppress(NotAcceptedError):
            stage.publish("a", {"url": path, "countdown": 3600, "payload": "x" * 50_000})
        return any(event["event"] == "store.failed" for event in daemon.events)

    eventually(has_failed)


def test_strict_a_daemon_waits_for_its_store_and_loses_nothing(
    stage: EmbeddedStage, place: tuple[str, Outage]
) -> None:
    url, go_away = place
    with daemon_on(stage, url, "strict") as daemon:
        stage.publish("a", {"url": "/before"}, {"url": "/under-way"})
        stage.receiver.wait_for(1, "/under-way")
        stage.comes_to_rest()
        mark = daemon.mark()
        mend = go_away()
        notices(stage, daemon, "/never")
        daemon.wait_for_event("queue.stopped", after=mark)
        status, page = get(stage.port, "/readyz")
        assert (status, json.loads(page)["parts"]["queue a"]) == (503, "store")
        assert json.loads(page)["parts"]["store"] != ""
        with pytest.raises(NotAcceptedError) as refused:
            stage.publish("a", {"url": "/refused"})
        assert refused.value.status == 503
        mark = daemon.mark()
        mend()
        daemon.ready(after=mark)
        stage.publish("a", {"url": "/after"})
        stage.receiver.wait_for(1, "/after")
        assert stage.receiver.received("/refused") == []


def test_strict_an_outcome_met_meanwhile_is_kept_until_it_can_be_written(
    stage: EmbeddedStage, place: tuple[str, Outage]
) -> None:
    url, go_away = place
    stage.receiver.script("/slow", [Answer(delay=2)])
    with daemon_on(stage, url, "strict") as daemon:
        stage.publish("a", {"url": "/slow"})
        stage.receiver.wait_for(1, "/slow")
        mend = go_away()
        notices(stage, daemon, "/never")
        daemon.wait_for_event("task.succeeded")
        assert stage.depths("a") == (0, 1)
        mend()
        stage.wait_until_empty("a")
        assert attempts(stage.receiver.received("/slow")) == [1]


def test_degraded_a_daemon_goes_on_without_its_store(
    stage: EmbeddedStage, place: tuple[str, Outage]
) -> None:
    url, go_away = place
    stage.receiver.script("/fails", [Answer(500), Answer()])
    with daemon_on(stage, url, "degraded") as daemon:
        mend = go_away()
        notices(stage, daemon, "/never")
        assert get(stage.port, "/readyz")[0] == 200
        stage.publish("a", {"url": "/fails", "id": "t1"})
        stage.receiver.wait_for(2, "/fails")
        mark = daemon.mark()
        mend()
        daemon.wait_for_event("store.mended", after=mark)
        assert attempts(stage.receiver.received("/fails")) == [1, 2]
