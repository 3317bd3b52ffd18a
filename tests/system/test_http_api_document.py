"""The examples of docs/guide/http-api.md, run as they stand against a daemon without RabbitMQ."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.daemon import Daemon
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver

pytestmark = pytest.mark.system

ADDRESS = "127.0.0.1:7676"
TEXT = (Path(__file__).parents[2] / "docs" / "guide" / "http-api.md").read_text()
EXAMPLES = re.findall(r"^```sh\n(.*?)^```\n\n```\w+\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
# A date and a length change from one answer to the next.
PASSING = re.compile(r"^(date|content-length): .*\n", re.MULTILINE)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    with Receiver() as receiver:
        config = f'server = "embedded:{tmp_path}/queue.db"\n'
        config += f'base_url = "{receiver.url}"\n[api]\nlisten = "{address}"\n'
        with Daemon(f'{config}[log]\nformat = "json"\n') as daemon:
            daemon.ready()
            yield address


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples use curl")
def test_each_example_answers_what_the_document_shows(address: str) -> None:
    """One after the other: an example builds on those before it."""
    for command, answer in EXAMPLES:
        assert (command, answered(command.replace(ADDRESS, address))) == (command, answer.strip())


def answered(command: str) -> str:
    ran = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30
    )
    return PASSING.sub("", ran.stdout.replace("\r", "")).strip()


def test_every_command_of_the_document_is_tried() -> None:
    assert all(ADDRESS in command for command, _ in EXAMPLES)
    assert len(EXAMPLES) == TEXT.count("```sh") == TEXT.count("curl -s")
