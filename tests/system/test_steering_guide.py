"""The commands of docs/guide/steering.md, one after the other, against a daemon."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts.daemon import ROOT, Daemon
from tests.parts.ports import free_port

pytestmark = pytest.mark.system

PAGE = (ROOT / "docs/guide/steering.md").read_text()
API = "127.0.0.1:7676"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for body in BLOCK.findall(PAGE) for line in body.splitlines()]


def run(line: str) -> tuple[int, str]:
    """Run a command without what makes its answer pretty; return status and answer."""
    command = line.partition(" | jq ")[0] + " --noproxy '*' -w '\\n%{http_code}'"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30
    )
    answer, _, status = done.stdout.rpartition("\n")
    return int(status), answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_of_the_guide_is_answered(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    config = f'server = "embedded:{tmp_path}/queue.db"\n[api]\nlisten = "{listen}"\n'
    with Daemon(config) as daemon:
        daemon.ready()
        answers = {line: run(line.replace(API, listen)) for line in commands()}
    assert len(answers) == len(commands()) > 10
    assert {line: said for line, said in answers.items() if said[0] not in {200, 202}} == {}
    (cancelled,) = (
        said for line, (_, said) in answers.items() if "-X DELETE" in line and "/tasks/" in line
    )
    assert json.loads(cancelled) == {"id": "order-7", "state": "cancelled"}
