"""Secrets planted wherever there are any: a daemon through good and bad times shows none."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.parts.canaries import Canaries
from tests.parts.daemon import ROOT, Daemon
from tests.parts.intake import Reply
from tests.parts.node import RabbitNode
from tests.parts.ports import free_port
from tests.parts.proxy import FaultProxy
from tests.parts.publisher import publish_many
from tests.parts.receiver import Answer, Receiver
from tests.parts.scene import add_vhost, eventually
from tests.system.test_bad_requests import Api
from webhook_runner.api.credentials import hash_of

pytestmark = pytest.mark.system

WAYS = {
    "check-config": ["check-config"],
    "check-config --print": ["check-config", "--print"],
    "check-config --json": ["check-config", "--json"],
    "doctor": ["doctor"],
    "doctor --output json": ["doctor", "--output", "json"],
    "topology": ["topology", "--output", "json"],
}
QUICK = "retry_limit = 1\nmin_backoff_seconds = 0.1\nmax_backoff_seconds = 0.1\njitter = 0\n"
LOOKS = (
    "/v1/tasks",
    "/v1/tasks/{id}",
    "/v1/tasks/{id}/attempts",
    "/v1/queues",
    "/v1/queues/default",
    "/v1/queues/default/dead",
    "/v1/queues/default/invalid",
    "/openapi.json",
    "/metrics",
    "/readyz",
)


class Place:
    """A configuration full of secrets, and the texts in which none may show."""

    def __init__(self, directory: Path, receiver: Receiver, log_format: str) -> None:
        self.canaries = Canaries()
        self.receiver = receiver
        self.port = free_port()
        self.format = log_format
        self.texts: dict[str, str] = {}
        self.directory = directory
        for name in ("token", "header", "store"):
            (directory / name).write_text(self.canaries.plant(f"{name} file") + "\n")
            (directory / name).chmod(0o600)

    def config(self, server: str, store: str) -> str:
        """Return a file with a secret in each place that takes one."""
        plant, here = self.canaries.plant, self.directory
        proxy = f"http://proxy:{plant('proxy')}@127.0.0.1:{self.receiver.port}"
        return f"""
server = "{server}"
base_url = "{self.receiver.url}"
[store]
{store}
on_failure = "degraded"
[egress]
proxy = "{proxy}"
no_proxy = ["127.0.0.1"]
[api]
listen = "127.0.0.1:{self.port}"
tokens = [
  {{name = "full", hash = "{hash_of(plant("token"))}"}},
  {{name = "filed", file = "{here}/token"}},
  {{name = "read", role = "read", hash = "{hash_of(plant("token of a reader"))}"}},
]
[log]
level = "debug"
format = "{self.format}"
[queues.default]
{QUICK}
[queues.default.headers]
Authorization = "Bearer {plant("header")}"
X-File = {{file = "{here}/header"}}
X-Variable = {{env = "OF_A_HEADER"}}
"""

    def environment(self) -> dict[str, str]:
        plant = self.canaries.plant
        override = f'{{X-Override = "{plant("variable of a table")}"}}'
        return {
            "OF_A_HEADER": plant("variable of a header"),
            "WEBHOOK_RUNNER_QUEUES__DEFAULT__HEADERS": override,
            "WEBHOOK_RUNNER_TOKEN": plant("variable of the token"),
        }

    def ask(
        self, line: str, token: str = "", body: object = None, headers: tuple[str, ...] = ()
    ) -> Reply:
        """Send a request; ``token`` names the place of one."""
        told = [*headers, "Content-Type: application/json"]
        if token:
            told.append(f"Authorization: Bearer {self.canaries.plant(token)}")
        case: dict[str, Any] = {"line": f"{line} HTTP/1.1", "headers": told}
        raw = body if isinstance(body, str) else json.dumps(body)
        return Api.send(self, {**case, "body": "" if body is None else raw})  # type: ignore[arg-type]

    _bytes = Api._bytes

    def look(self, *ids: str) -> None:
        """Look at all that a token of the role read may look at, and nobody at what is open."""
        for path in LOOKS:
            for name in ids if "{id}" in path else ("",):
                asked = path.replace("{id}", name)
                reply = self.ask(f"GET {asked}", "token of a reader")
                assert reply.status in {200, 501, 503}, (asked, reply)
                self.texts[f"GET {asked}"] = reply.body.decode()
        for path in ("/livez", "/readyz", "/metrics", "/v1/tasks"):
            self.texts[f"GET {path} by nobody"] = self.ask(f"GET {path}").body.decode()

    def command(self, daemon: Daemon) -> None:
        """Keep what the commands say that read the configuration."""
        for name, words in WAYS.items():
            done = subprocess.run(
                [sys.executable, "-m", "webhook_runner", *words],
                capture_output=True,
                check=False,
                cwd=daemon.directory,
                env={
                    **os.environ,
                    **self.environment(),
                    "PYTHONPATH": str(ROOT),
                    "TASKQUEUE_CONFIG_FILE": str(daemon.config_file),
                },
                text=True,
                timeout=60,
            )
            assert "Traceback" not in done.stderr, done.stderr
            self.texts[name] = done.stdout + done.stderr

    def keep(self, name: str, daemon: Daemon) -> None:
        """Keep the log of a daemon, and how it was called."""
        self.texts[f"log of {name}"] = "\n".join(daemon.lines)

    def shown(self) -> dict[str, set[str]]:
        """Return the texts that show secrets, and of which places."""
        found = {name: self.canaries.shown_in(text) for name, text in self.texts.items()}
        return {name: places for name, places in found.items() if places}


@pytest.fixture(params=["json", "logfmt", "console"])
def place(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> Place:
    return Place(tmp_path, receiver, request.param)


def cmdline(daemon: Daemon) -> str:
    return Path(f"/proc/{daemon.pid}/cmdline").read_text()


def tasks(place: Place) -> list[dict[str, Any]]:
    """Return tasks with secrets in all that they carry, to good and bad ends."""
    plant = place.canaries.plant
    closed = free_port()
    carried: dict[str, Any] = {
        "payload": {"password": plant("payload")},
        "metadata": {"secret": plant("metadata")},
        "headers": {"X-Api-Key": plant("header of a task")},
        "roll_back": {
            "url": f"/undo?token={plant('query of a roll_back')}",
            "headers": {"X-Undo": plant("header of a roll_back")},
        },
    }
    query = f"?token={plant('query')}"
    urls = {
        "good": f"/ok{query}",
        "bad": f"/bad{query}",
        "moved": f"/moved{query}",
        "never": f"/never{query}",
        "reset": f"/reset{query}",
        "refused": f"http://127.0.0.1:{closed}/{query}",
        "tls": f"https://127.0.0.1:{place.receiver.port}/{query}",
        "proxied": f"http://elsewhere.test/ok{query}",
        "metadata": f"http://169.254.169.254/{query}",
    }
    return [{"id": name, "url": url, **carried} for name, url in urls.items()]


def script(place: Place) -> None:
    plant = place.canaries.plant
    body = plant("body of an answer").encode()
    headers = {"Set-Cookie": plant("cookie of an answer"), "X-Own": plant("header of an answer")}
    location = f"http://h/?k={plant('location of an answer')}"
    place.receiver.script("/ok", [Answer(200, headers, body)])
    place.receiver.script("/bad", [Answer(500, headers, body)])
    place.receiver.script("/moved", [Answer(302, {**headers, "Location": location}, body)])
    place.receiver.script("/never", [Answer(400, {"Webhook-Runner-Retry": "never"}, body)])
    place.receiver.script("/reset", [Answer(reset=True)])


def bad_messages(place: Place) -> list[Any]:
    """Return messages that break a rule in or beside a secret."""
    plant = place.canaries.plant
    url = f"http://user:{plant('userinfo')}@h/"
    key = plant("header of a bad task")
    return [
        {"url": url},
        {"url": [url]},
        {"url": f"/x?token={plant('query of a bad task')}\n"},
        {"url": "/x", "roll_back": url},
        {"url": "/x", "roll_back": {"url": 5, "headers": {"X-Key": key}}},
        {"url": "/x", "headers": {"X-Key": f"{key}\n"}},
        {"url": "/x", "headers": {"X-Key": [key]}},
        {"url": "/x", "headers": {"Proxy-Authorization": key}},
        {"url": "/x", "headers": f"X-Key: {key}"},
        {"url": "/x", "timeout": "soon", "payload": plant("payload of a bad task")},
        {"url": "/x", "queue": "nowhere", "metadata": plant("metadata of a bad task")},
        f'{{"url": "/x", "payload": "{plant("payload that breaks off")}',
        f'{{"url": "/x", "payload": "{plant("payload that is there twice")}", "payload": 1}}',
        f'{{"url": "/x", "payload": "\\ud800{plant("payload with half a pair")}"}}',
        f'{{"url": "http://user:{plant("url that is there twice")}@h/", "url": 1}}',
        plant("no JSON at all"),
    ]


def test_the_embedded_broker(place: Place, tmp_path: Path) -> None:
    script(place)
    config = place.config(f"embedded:{tmp_path}/queue.db", f'url = "sqlite:{tmp_path}/state.db"')
    sent = tasks(place)
    with Daemon(config, environment=place.environment()) as daemon:
        eventually(lambda: knocks(place), 20)
        place.texts["how it was called"] = cmdline(daemon)
        for task in sent:
            assert place.ask("POST /v1/tasks", "token", task).status == 202
        for bad in bad_messages(place):
            assert place.ask("POST /v1/tasks", "token file", bad).status in {400, 422}
        wrong = f"Authorization: Bearer {place.canaries.plant('wrong token')}"
        assert place.ask("GET /v1/queues", headers=(wrong,)).status == 401
        ids = [task["id"] for task in sent]
        eventually(lambda: all(has_ended(place, name) for name in ids), 30)
        place.look(*ids)
        if place.format == "json":
            place.command(daemon)
        daemon.configure(
            config.replace("[log]", f'password = "{place.canaries.plant("key")}"\n[log]')
        )
        daemon.signal(1)  # type: ignore[arg-type]
        eventually(lambda: any("config.refused" in line for line in daemon.lines))
        assert daemon.terminate() == 0
        place.keep("the embedded broker", daemon)
    assert place.shown() == {}


def knocks(place: Place) -> bool:
    try:
        return place.ask("GET /readyz").status == 200
    except OSError:
        return False


def has_ended(place: Place, name: str) -> bool:
    known = place.ask(f"GET /v1/tasks/{name}", "token").json()
    return known.get("ended_at") is not None


@pytest.fixture
def rabbit_place(tmp_path: Path, receiver: Receiver) -> Place:
    return Place(tmp_path, receiver, "json")


@pytest.mark.rabbitmq
def test_rabbitmq_that_goes_and_comes_and_a_store_that_is_down(
    rabbit_place: Place, node: RabbitNode
) -> None:
    place, user = rabbit_place, f"canary-{uuid4().hex[:8]}"
    vhost = add_vhost(node, user)
    script(place)
    node.ctl("add_user", user, place.canaries.plant("password of the broker"))
    node.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    store = f'url = "postgresql://u:{place.canaries.plant("store")}@127.0.0.1:{free_port()}/db"'
    with FaultProxy("127.0.0.1", node.port) as proxy:
        password = place.canaries.plant("password of the broker")
        server = proxy.url_for(f"amqp://{user}:{password}@127.0.0.1:{node.port}/{vhost}")
        with Daemon(place.config(server, store), environment=place.environment()) as daemon:
            daemon.wait_for_event("broker.connected", timeout=40)
            place.texts["how it was called"] = cmdline(daemon)
            sent, bad = tasks(place), bad_messages(place)
            eventually(lambda: "default" in node.queue_depths(vhost), 40)
            publish_many(node.vhost_url(vhost), "default", [as_bytes(each) for each in sent + bad])
            for task in sent:
                eventually(partial(has_been_told, daemon, task["id"]), 40)
            eventually(lambda: node.queue_depths(vhost)["wr.v1.invalid.default"][0] == len(bad), 40)
            place.look("good")
            proxy.refuse()
            daemon.wait_for_event("broker.lost", timeout=40)
            place.command(daemon)
            proxy.pass_through()
            assert daemon.terminate() == 0
            place.keep("RabbitMQ", daemon)
    assert place.shown() == {}


def as_bytes(message: Any) -> bytes:
    return message.encode() if isinstance(message, str) else json.dumps(message).encode()


def has_been_told(daemon: Daemon, name: str) -> bool:
    ends = {"task.succeeded", "task.failed"}
    return any(e["event"] in ends and e.get("task_id") == name for e in list(daemon.events))


@pytest.mark.rabbitmq
@pytest.mark.parametrize("trouble", ["wrong password", "password in a file", "no TLS there"])
def test_rabbitmq_that_refuses(rabbit_place: Place, node: RabbitNode, trouble: str) -> None:
    place = rabbit_place
    scheme = "amqps" if trouble == "no TLS there" else "amqp"
    server = f"{scheme}://guest:{place.canaries.plant('password')}@127.0.0.1:{node.port}/"
    store = f'url = "postgresql://u@127.0.0.1:{free_port()}/db"\npassword_file = "{{store}}"'
    config = place.config(server, store.replace("{store}", f"{place.directory}/store"))
    if trouble == "password in a file":
        config += f'\n[broker]\npassword_file = "{place.directory}/token"\n'
    with Daemon(config, environment=place.environment()) as daemon:
        daemon.wait_for_event("broker.lost", timeout=40)
        place.command(daemon)
        daemon.terminate()
        place.keep(trouble, daemon)
    assert place.shown() == {}
