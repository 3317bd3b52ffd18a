"""A daemon with tokens: who is let in, and after a reload; listeners do not hold up its end."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.intake import Intake
from tests.parts.receiver import Receiver
from tests.system.test_reload import reload
from webhook_runner.api.credentials import hash_of

pytestmark = pytest.mark.system

OPS, NEW = "token-of-ops", "token-that-comes-later"


def tokens(*lines: str) -> str:
    return f"[api]\ntokens = [{', '.join(lines)}]\n"


@pytest.fixture
def intake(tmp_path: Path, receiver: Receiver) -> Iterator[Intake]:
    (tmp_path / "ops.token").write_text(f"{OPS}\n")
    (tmp_path / "ops.token").chmod(0o600)
    made = Intake(f"embedded:{tmp_path}/queue.db", receiver)
    line = f'{{name = "ops", file = "{tmp_path}/ops.token"}}'
    made.daemon.configure(
        made.daemon.config_file.read_text().replace("[api]\n", f"{tokens(line)}", 1)
    )
    with made.daemon:
        made.daemon.ready()
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def test_tokens_are_asked_for_reloaded_and_never_logged(intake: Intake) -> None:
    assert intake.ask("GET", "/livez").status == 200
    assert intake.ask("GET", "/v1/queues").status == 401
    task = json.dumps({"url": "/x", "id": "a", "payload": OPS}).encode()
    assert intake.ask("POST", "/v1/tasks", task, bearer(OPS)).status == 202
    intake.daemon.wait_for_event("task.succeeded", task_id="a")
    config = intake.daemon.config_file.read_text()
    old = next(line for line in config.splitlines() if line.startswith("tokens"))
    new = f'tokens = [{{name = "new", role = "read", hash = "{hash_of(NEW)}"}}]'
    told = reload(intake.daemon, config.replace(old, new))
    assert (told["changes"], told["need_restart"]) == (["api.tokens"], [])
    assert intake.ask("GET", "/v1/queues", headers=bearer(OPS)).status == 401
    assert intake.ask("GET", "/v1/tasks/a", headers=bearer(NEW)).json()["state"] == "succeeded"
    assert intake.ask("DELETE", "/v1/tasks/a", headers=bearer(NEW)).status == 403
    assert not any(OPS in line or NEW in line for line in intake.daemon.lines)


def test_who_listens_does_not_hold_up_the_end(intake: Intake) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", intake.port, timeout=30)
    connection.request("GET", "/v1/events", headers=bearer(OPS))
    answer = connection.getresponse()
    assert answer.readline() == b": listening\n"
    assert intake.daemon.terminate() == 0
    assert b"event: daemon.draining" in answer.read()
    connection.close()
