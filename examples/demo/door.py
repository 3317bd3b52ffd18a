"""How the demo's tasks get in: what every way offers, and HTTP to an embedded broker."""

import json
import tempfile
import urllib.request
from dataclasses import dataclass
from typing import Protocol
from urllib.error import HTTPError

from examples.demo.exhibits import REFUSED, Exhibit
from tests.parts.ports import free_port

HTTP_CONFIG = """
server = "embedded:{directory}/queue.db"
base_url = "{receiver}"
[api]
listen = "{listen}"
[queues.default]
min_backoff_seconds = 1
timeout = 5
"""


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a message that was handed in."""

    taken: bool
    answer: str


class Door(Protocol):
    """A way in, with all that it needs."""

    name: str

    @property
    def invalid(self) -> Exhibit:
        """The exhibit that is no valid task here."""

    def config(self, receiver: str) -> str:
        """Return the daemon's configuration; paths are called at the URL ``receiver``."""

    def hand_in(self, message: bytes) -> Handed:
        """Hand a message in."""

    def invitation(self) -> str:
        """Return how to hand in a task of one's own."""

    def close(self) -> None:
        """Leave nothing behind."""


class HttpDoor:
    """POST /v1/tasks of a daemon with an embedded broker in a directory that ends with it."""

    name = "embedded broker, tasks by HTTP"

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="wr-demo-")
        self._listen = f"127.0.0.1:{free_port()}"
        self._url = f"http://{self._listen}/v1/tasks"
        # A proxy of the environment is not for a daemon on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def invalid(self) -> Exhibit:
        message = b'{"id": "invalid", "url": "/never", "countdown": "soon"}'
        return Exhibit("invalid", "not valid", message, (), (), REFUSED)

    def config(self, receiver: str) -> str:
        return HTTP_CONFIG.format(
            directory=self._directory.name, receiver=receiver, listen=self._listen
        )

    def hand_in(self, message: bytes) -> Handed:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, data=message, headers=headers)  # noqa: S310 - our own URL
        try:
            with self._opener.open(request, timeout=10) as answer:
                return Handed(taken=True, answer=f"{answer.status} {answer.headers['Location']}")
        except HTTPError as refusal:
            with refusal:
                return Handed(taken=False, answer=f"{refusal.code} {_fields(refusal.read())}")

    def invitation(self) -> str:
        task = '{"url": "/hello", "payload": {"from": "me"}, "countdown": 2}'
        return (
            "Hand in a task of your own from another terminal:\n"
            f"  curl --header 'Content-Type: application/json' --data '{task}' {self._url}"
        )

    def close(self) -> None:
        self._directory.cleanup()


def _fields(body: bytes) -> str:
    """Return what a problem document says of each bad field."""
    problem = json.loads(body)
    errors = problem.get("errors") or [{"field": "", "detail": problem.get("detail")}]
    return "; ".join(f"{each['field']}: {each['detail']}" for each in errors)
