"""Every request of the corpus at the door of the HTTP API: the right problem, never a 500."""

import base64
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.parts.corpus import lines
from tests.parts.daemon import Daemon
from tests.parts.intake import Reply
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver
from webhook_runner.api.credentials import hash_of

pytestmark = pytest.mark.system

CASES = list(lines("requests.jsonl"))
TOKENS = {"full": "token-that-may-do-everything", "read": "token-that-may-only-look"}
_FACTS = frozenset(
    {
        *("row", "name", "line", "headers", "body", "raw", "as", "bare"),
        *("status", "plain", "most", "items", "continued", "closes", "without"),
    }
)


class Api:
    """A daemon with tokens and one known task, and raw bytes to it."""

    def __init__(self, directory: Path, receiver: Receiver) -> None:
        self.port = free_port()
        tokens = ", ".join(
            f'{{name = "{name}", role = "{name}", hash = "{hash_of(token)}"}}'
            for name, token in TOKENS.items()
        )
        self.daemon = Daemon(
            f'server = "embedded:{directory}/queue.db"\nbase_url = "{receiver.url}"\n'
            f'[api]\nlisten = "127.0.0.1:{self.port}"\ntokens = [{tokens}]\n'
            '[log]\nlevel = "debug"\nformat = "json"\n[queues.default]\n'
        )

    def send(self, case: Mapping[str, Any]) -> Reply:
        """Send the bytes of a case and read until the end of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(self._bytes(case))
            if case.get("closes"):
                connection.shutdown(socket.SHUT_WR)
            if case.get("continued"):
                assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
            return _reply(connection)

    def _bytes(self, case: Mapping[str, Any]) -> bytes:
        if "raw" in case:
            return base64.b64decode(case["raw"])
        body = _text(case.get("body", "")).encode()
        headers = [_text(each) for each in case.get("headers", ())]
        names = {each.partition(":")[0].lower() for each in headers}
        if not case.get("bare"):
            headers.insert(0, f"Host: 127.0.0.1:{self.port}")
        if "as" in case:
            headers.append(f"Authorization: Bearer {TOKENS[case['as']]}")
        if body and not names & {"content-length", "transfer-encoding"}:
            headers.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([_text(case["line"]), *headers, "Connection: close", "", ""])
        return _filled(head).encode("latin-1") + body


def _text(parts: Any) -> str:
    if isinstance(parts, str):
        return parts
    return "".join(text * count for text, count in parts)


def _filled(head: str) -> str:
    full = TOKENS["full"]
    known = {"{full}": full, "{full:short}": full[:-1], "{hash}": hash_of(full)}
    for name, value in known.items():
        head = head.replace(name, value)
    return head


def _reply(connection: socket.socket) -> Reply:
    received = bytearray()
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass  # it has not read all that was sent, and said so
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in rest)
    status = int(first.split(" ")[1]) if first.startswith("HTTP/1.1 ") else 0
    return Reply(status, {name.lower(): value for name, _, value in pairs}, body)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Receiver() as receiver:
        api = Api(tmp_path_factory.mktemp("requests"), receiver)
        with api.daemon as daemon:
            daemon.ready()
            task = {"row": 0, "line": "POST /v1/tasks HTTP/1.1", "as": "full"}
            assert api.send({**task, "body": '{"url": "/ok-known", "id": "known"}'}).status == 202
            daemon.wait_for_event("task.succeeded", task_id="known")
            yield api
            assert daemon.terminate() == 0
        told = [each for each in daemon.events if each["level"] in {"error", "critical"}]
        assert told == []
        assert [line for line in daemon.lines if "Traceback" in line] == []
        assert not [line for line in daemon.lines if any(each in line for each in TOKENS.values())]


@pytest.mark.parametrize("case", CASES, ids=[f"{c['row']}-{ascii(c['name'])[1:60]}" for c in CASES])
def test_a_bad_request_is_answered_as_it_should(api: Api, case: dict[str, Any]) -> None:
    assert case.keys() <= _FACTS
    reply = api.send(case)
    wanted = case["status"] if isinstance(case["status"], list) else [case["status"]]

    assert reply.status in wanted, reply
    assert len(reply.body) <= case.get("most", 5000)
    assert case.get("without", "\0") not in reply.body.decode()
    if reply.status >= 400 and not case.get("plain"):
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["status"] == reply.status
    if "items" in case:
        assert len(reply.json()["items"]) == case["items"]


def test_who_may_not_come_in_learns_nothing_of_what_is_there(api: Api) -> None:
    refused = [case for case in CASES if case["row"] == 95 and case["status"] == 401]
    shapes = set()
    for case in refused:
        document = api.send(case).json()
        shapes.add(json.dumps({**document, "instance": ""}))
    assert len(shapes) == 1


def test_after_all_of_them_it_works(api: Api) -> None:
    assert api.send({"line": "GET /readyz HTTP/1.1"}).status == 200
    assert api.daemon.returncode is None
