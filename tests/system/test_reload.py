"""SIGHUP: a new configuration is taken over whole, or refused whole, while work goes on."""

import signal

import pytest

from tests.parts.daemon import Daemon, Event
from tests.parts.embedded_stage import NotAcceptedError
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer, Receiver
from tests.parts.stage import QUICK, Stage, wait_for_events

pytestmark = pytest.mark.system


def reload(daemon: Daemon, text: str, *, told: str = "config.reloaded") -> Event:
    mark = daemon.mark()
    daemon.configure(text)
    daemon.signal(signal.SIGHUP)
    return daemon.wait_for_event(told, after=mark)


def test_a_reload_changes_how_many_run_at_once(stage: Stage) -> None:
    daemon = stage.daemon({"a": "concurrency = 2"})
    stage.receiver.script("/hangs", [Answer(hang=True)])
    stage.publish("a", *({"url": "/hangs", "id": f"t{n}"} for n in range(30)))
    stage.receiver.wait_until(lambda: stage.receiver.in_flight == 2)
    event = reload(daemon, stage.configuration({"a": "concurrency = 7"}))
    assert event["changes"] == ["queues.a.concurrency"]
    assert event["need_restart"] == []
    stage.receiver.wait_until(lambda: stage.receiver.in_flight == 7)
    reload(daemon, stage.configuration({"a": "concurrency = 1"}))
    # What runs is not cut; there is room again only when six of them have ended.
    stage.wait_for_depths("a", 0, 30)
    assert stage.receiver.in_flight == 7
    stage.receiver.release()
    stage.wait_until_empty("a")
    assert len(stage.receiver.requests) == 30
    assert stage.receiver.aborted == []


def test_a_reload_changes_rate_and_address(stage: Stage) -> None:
    # The second token would come after an hour.
    daemon = stage.daemon({"a": 'rate = "1/h"'})
    stage.publish("a", {"url": "/first"}, {"url": "/second"}, {"url": "/third"})
    stage.receiver.wait_for(1)
    daemon.wait_for_event("queue.stopped", queue="a")
    with Receiver() as other:
        reload(daemon, stage.configuration({"a": f'rate = "20/s"\nbase_url = "{other.url}"'}))
        other.wait_for(2)
        assert len(stage.receiver.requests) == 1
        daemon.close()


def test_a_reload_adds_a_queue_and_takes_one_away(either_stage: Stage) -> None:
    stage = either_stage
    daemon = stage.daemon({"old": QUICK, "kept": QUICK})
    stage.receiver.script("/hangs", [Answer(hang=True)])
    stage.publish("old", {"url": "/hangs", "id": "under-way"})
    stage.receiver.wait_for(1, "/hangs")
    reload(daemon, stage.configuration({"kept": QUICK, "new": QUICK}))
    daemon.wait_for_event("queue.consuming", queue="new")
    # Two parts that asked for queues at once used to end the connection.
    assert "broker.lost" not in {each["event"] for each in daemon.events}
    stage.publish("new", {"url": "/new"})
    stage.receiver.wait_for(1, "/new")
    if isinstance(stage, RabbitStage):
        stage.publish("old", {"url": "/left"})
    else:
        with pytest.raises(NotAcceptedError, match="is not one of kept, new"):
            stage.publish("old", {"url": "/left"})
    stage.receiver.release()
    daemon.wait_for_event("task.succeeded", task_id="under-way")
    # What came by AMQP after the reload stays in the queue that nobody serves.
    stage.wait_for_depths("old", int(isinstance(stage, RabbitStage)), 0)
    assert stage.receiver.received("/left") == []
    reload(daemon, stage.configuration({"kept": QUICK, "old": QUICK}))
    if not isinstance(stage, RabbitStage):
        stage.publish("old", {"url": "/left"})
    stage.receiver.wait_for(1, "/left")
    assert len(stage.receiver.received("/hangs")) == 1


def test_a_queue_that_was_taken_away_is_drained_too(stage: Stage) -> None:
    daemon = stage.daemon({"old": QUICK, "kept": QUICK})
    stage.receiver.script("/hangs", [Answer(hang=True)])
    stage.publish("old", {"url": "/hangs"})
    stage.receiver.wait_for(1, "/hangs")
    reload(daemon, stage.configuration({"kept": QUICK}))
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_event("daemon.draining")
    # Asking takes long enough for a daemon that does not wait to be gone.
    assert [stage.depths("old") for _ in range(2)] == [(0, 1)] * 2
    stage.receiver.release()
    assert daemon.wait(20) == 0
    assert stage.receiver.aborted == []
    assert stage.depths("old") == (0, 0)


def test_a_bad_file_changes_nothing_and_every_problem_is_told(stage: Stage) -> None:
    daemon = stage.daemon({"a": QUICK})
    bad = stage.configuration({"a": 'concurrency = 0\nrate = "often"\ncolour = "red"'})
    event = reload(daemon, bad, told="config.refused")
    problems = event["problems"]
    assert isinstance(problems, list)
    assert len(problems) == 3
    for key in ("concurrency", "rate", "colour"):
        (line,) = (each for each in problems if key in each)
        assert f"{daemon.config_file}:" in line
    event = reload(daemon, "this is = = no file", told="config.refused")
    assert event["problems"]
    stage.publish("a", {"url": "/goes-on"})
    stage.receiver.wait_for(1, "/goes-on")
    daemon.config_file.unlink()
    mark = daemon.mark()
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_event("config.refused", after=mark)
    reload(daemon, stage.configuration({"a": f"{QUICK}\nconcurrency = 3"}))
    stage.publish("a", {"url": "/still"})
    stage.receiver.wait_for(1, "/still")


def test_what_needs_a_restart_is_told_and_left_alone(stage: Stage) -> None:
    daemon = stage.daemon({"a": QUICK})
    changed = stage.configuration({"a": QUICK}, server="amqp://nobody:x@127.0.0.1:1/")
    event = reload(daemon, changed)
    assert (event["changes"], event["need_restart"]) == ([], ["server"])
    stage.publish("a", {"url": "/goes-on"})
    stage.receiver.wait_for(1, "/goes-on")


def test_a_storm_of_reloads_drops_no_work(stage: Stage) -> None:
    daemon = stage.daemon({"a": f"{QUICK}\nconcurrency = 4"})
    stage.receiver.script("/work", [Answer(delay=0.01)])
    ids = [f"t{n}" for n in range(120)]
    stage.publish("a", *({"url": "/work", "id": each} for each in ids))
    for number in range(40):
        daemon.configure(stage.configuration({"a": f"{QUICK}\nconcurrency = {1 + number % 60}"}))
        daemon.signal(signal.SIGHUP)
        stage.receiver.wait_for(number * 2)
    wait_for_events(daemon, 120, "task.succeeded", timeout=30)
    stage.wait_until_empty("a")
    done = [request.header("Webhook-Runner-Task-Id") for request in stage.receiver.requests]
    assert sorted(map(str, done)) == sorted(ids)
    assert daemon.returncode is None
