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


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    with Receiver() as receiver:
        config = f'server = "embedded:{tmp_path_factory.mktemp("document")}/queue.db"\n'
        config += f'base_url = "{receiver.url}"\n[api]\nlisten = "{address}"\n'
        with Daemon(f'{config}[log]\nformat = "json"\n') as daemon:
            daemon.ready()
            yield address


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples use curl")
@pytest.mark.parametrize(("command", "answer"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_answers_what_the_document_shows(
    address: str, command: str, answer: str
) -> None:
    assert ADDRESS in command
    ran = subprocess.run(
        ["sh", "-c", command.replace(ADDRESS, address)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    shown = PASSING.sub("", ran.stdout.replace("\r", ""))
    assert shown.strip() == answer.strip()


def test_every_command_of_the_document_is_tried() -> None:
    assert len(EXAMPLES) == TEXT.count("```sh") == TEXT.count("curl -s")
