"""Every command that asks a daemon, once, against a real one on the embedded broker."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from queue import Queue

import pytest
from typer.testing import CliRunner

from tests.parts.daemon import ROOT, Daemon
from tests.parts.embedded import EmbeddedSite
from tests.parts.receiver import Answer, Receiver
from webhook_runner.cli.app import app
from webhook_runner.client import Client, Task

pytestmark = pytest.mark.system

COMMAND = (sys.executable, "-m", "webhook_runner")
TOKEN, LOOKING = "of-the-operator", "of-the-board"


class Asked:
    """A daemon that asks for a token, and a client of it."""

    def __init__(self, site: EmbeddedSite, daemon: Daemon, client: Client) -> None:
        self.site = site
        self.receiver = site.receiver
        self.daemon = daemon
        self.client = client

    def run(self, *arguments: str, token: str = TOKEN, stdin: str = "", code: int = 0) -> str:
        """Run a command in this process; return what it printed on standard output."""
        file = str(self.daemon.config_file)
        environment = {"WEBHOOK_RUNNER_TOKEN": token, "TASKQUEUE_CONFIG_FILE": file}
        done = CliRunner(env=environment).invoke(app, arguments, input=stdin)
        assert done.exit_code == code, (arguments, done.output)
        return done.stdout


def line(name: str, role: str, token: str) -> str:
    hashed = hashlib.sha256(token.encode()).hexdigest()
    return f'{{name = "{name}", role = "{role}", hash = "sha256:{hashed}"}}'


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with Receiver() as receiver:
        site = EmbeddedSite(tmp_path_factory.mktemp("asked"), receiver, "retry_limit = 0")
        tokens = ", ".join([line("ops", "full", TOKEN), line("board", "read", LOOKING)])
        config = site.config().replace("[api]\n", f"[api]\ntokens = [{tokens}]\n")
        with Daemon(config) as daemon, Client(site.api, token=TOKEN) as client:
            daemon.ready()
            receiver.script("/broken", [Answer(400)])
            yield Asked(site, daemon, client)


def names(table: str) -> list[str]:
    return [row.split()[0] for row in table.splitlines()[1:]]


def test_a_task_is_sent_watched_shown_and_replayed(asked: Asked) -> None:
    assert asked.run("send", "/fine", "--id", "fine").strip() == "fine"
    watched = asked.run("watch", "fine").splitlines()
    assert "fine" in watched[-1]
    shown = asked.run("status", "fine")
    assert "succeeded" in shown
    assert asked.client.wait("fine", 10).succeeded
    (attempt,) = json.loads(asked.run("attempts", "fine", "--output", "json"))
    assert (attempt["attempt"], attempt["status"]) == (1, 200)
    assert "fine" in names(asked.run("tasks", "list", "--state", "succeeded"))
    assert "fine runs anew in queue default" in asked.run("replay", "fine")
    asked.receiver.wait_for(2, "/fine")
    asked.run("status", "nobody", code=3)
    asked.run("watch", "nobody", code=3)


def test_a_watched_task_that_fails_is_exit_1(asked: Asked) -> None:
    asked.client.send("/broken", id="watched", max_retries=0)
    assert "failed" in asked.run("watch", "watched", code=1)


def test_what_has_ended_is_exported_with_its_attempts(asked: Asked) -> None:
    asked.client.send("/told", id="told")
    assert asked.client.wait("told", 10).succeeded
    lines = [json.loads(each) for each in asked.run("export").splitlines()]
    (told,) = [each for each in lines if each["id"] == "told"]
    assert json.loads(told["source"]) == {"url": "/told", "id": "told"}
    assert [each["status"] for each in told["attempts"]] == [200]
    assert asked.run("export", "--older", "1h") == ""


def test_tasks_are_hurried_and_cancelled(asked: Asked) -> None:
    later = [Task(url=f"/later/{name}", id=name, countdown=3600) for name in ("a", "b", "c", "d")]
    asked.client.send_many(later)
    assert "a is" in asked.run("run", "a")
    asked.receiver.wait_for(1, "/later/a")
    assert asked.run("cancel", "b") == "cancelled\n"
    counts = asked.run("cancel", "-", stdin="c\nd\nnobody\n", code=3)
    assert "cancelled" in counts
    assert "not found" in counts
    assert asked.client.wait("a", 10).succeeded
    asked.run("cancel", "a", code=4)
    assert asked.client.wait("d", 10).state == "cancelled"


def test_a_queue_is_paused_limited_purged_and_resumed(asked: Asked) -> None:
    assert "paused" in asked.run("pause", "default")
    asked.client.send("/never", id="never")
    assert asked.run("purge", "default", code=2) == ""
    assert "1 ready" in asked.run("purge", "default", "--yes")
    changed = asked.run("limits", "default", "--concurrency", "3", "--rate", "50/s")
    assert "3 (changed)" in changed
    assert "50/s (changed)" in changed
    assert "changed" not in asked.run("limits", "default", "--reset")
    assert "paused" not in asked.run("resume", "default")
    (queue,) = json.loads(asked.run("queues", "--output", "json"))
    assert (queue["name"], queue["paused"], queue["ready"]) == ("default", False, 0)
    assert names(asked.run("queues")) == ["default"]
    assert "concurrency" in asked.run("queues", "show", "default")
    asked.run("pause", "nowhere", code=3)


def test_dead_letters_are_looked_at_mended_replayed_and_dropped(asked: Asked) -> None:
    bad = [Task(url="/broken", id=f"dead-{number}", max_retries=0) for number in range(3)]
    asked.client.send_many(bad)
    for task in bad:
        assert asked.client.wait(str(task.id), 10).state == "failed"
    listed = json.loads(asked.run("dead", "list", "default", "--output", "json"))
    letters = {each["id"]: each["letter"] for each in listed}
    assert {f"dead-{number}" for number in range(3)} <= set(letters)
    assert "400" in asked.run("dead", "list", "default", "--group")
    shown = asked.run("dead", "show", "default", letters["dead-0"])
    assert '"url": "/broken"' in shown
    exported = [json.loads(each) for each in asked.run("dead", "export", "default").splitlines()]
    assert {each["id"] for each in exported} == set(letters)
    chosen = ("--letter", letters["dead-0"], "--letter", letters["dead-1"])
    said = asked.run("dead", "replay", "default", *chosen, "--dry-run")
    assert said == "2 of 2 would be replayed\n"
    edit = ("--edit", '{"url": "/mended"}', "--rate", "100/s", "--yes")
    assert asked.run("dead", "replay", "default", *chosen, *edit) == "2 of 2 replayed\n"
    asked.receiver.wait_for(2, "/mended")
    assert asked.client.wait("dead-0", 10).succeeded
    dropped = asked.run("dead", "drop", "default", "--id", "dead-2", "--yes")
    assert dropped == "dropped 1\n"
    asked.run("dead", "show", "default", letters["dead-2"], code=3)
    assert json.loads(asked.run("invalid", "list", "default", "--output", "json")) == []
    asked.run("dead", "list", "nowhere", code=3)


def test_who_may_only_look_changes_nothing(asked: Asked) -> None:
    asked.run("queues", token=LOOKING)
    asked.run("pause", "default", token=LOOKING, code=1)
    asked.run("queues", token="of-nobody", code=1)
    asked.run("send", "/x", token=LOOKING, code=1)


def test_what_happens_is_followed(asked: Asked) -> None:
    # Who runs the tests in the background may ignore the signal, and that is inherited.
    command = ("env", "--default-signal=INT", *COMMAND, "tail", "--output", "json")
    tail = subprocess.Popen(
        [*command, "--url", asked.site.api, "--token", TOKEN],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert tail.stdout is not None
    told: Queue[str] = Queue()
    reading = threading.Thread(target=lambda: told.put(tail.stdout.readline()))  # type: ignore[union-attr]
    reading.start()
    try:
        # Only what happens while somebody listens is told.
        while told.empty():
            asked.client.wait(asked.client.send("/followed").id, 10)
        assert json.loads(told.get())["event"].startswith("task.")
        tail.send_signal(signal.SIGINT)
        assert tail.wait(10) == 0
    finally:
        tail.kill()
        tail.wait(10)
        reading.join()
        tail.stdout.close()
