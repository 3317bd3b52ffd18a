"""A daemon with its HTTP API, on RabbitMQ or on the embedded broker, and who posts tasks to it."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

from tests.parts.daemon import Daemon
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Intake:
    """One daemon and its address; `server` is what its configuration names as broker."""

    def __init__(self, server: str, receiver: Receiver, top: str = "", queue: str = "") -> None:
        self.receiver = receiver
        self.port = free_port()
        self.daemon = Daemon(
            f'server = "{server}"\nbase_url = "{receiver.url}"\nmax_message_bytes = 65536\n{top}\n'
            f'[api]\nlisten = "127.0.0.1:{self.port}"\n[log]\nlevel = "debug"\nformat = "json"\n'
            f"[queues.default]\n{queue}\n[queues.other]\n"
        )

    def post(self, content: Any, **headers: str) -> Reply:
        """Post tasks: bytes as they are, anything else as JSON."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.ask("POST", "/v1/tasks", raw, {"Content-Type": "application/json", **headers})

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Reply:
        """Send one request on a connection of its own. Raises OSError when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()
