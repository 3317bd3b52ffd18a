"""The guide to the Python client, block by block, and its example, against a real daemon."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.daemon import ROOT
from tests.parts.embedded import EmbeddedSite
from tests.parts.receiver import Answer, Receiver
from webhook_runner.client import Client

pytestmark = pytest.mark.system

GUIDE = (ROOT / "docs/guide/python-client.md").read_text()
FIRST, AWAITED, MANY, FAILING, LOOKING, STEERING, LETTERS = re.findall(
    r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL
)


@pytest.fixture
def site(tmp_path: Path, receiver: Receiver) -> Iterator[EmbeddedSite]:
    site = EmbeddedSite(tmp_path, receiver)
    with site.daemon() as daemon:
        daemon.ready()
        yield site


def python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(block: str, site: EmbeddedSite) -> str:
    """Run a block with the addresses of private parts for the usual ones."""
    there = block.replace("http://127.0.0.1:8000", site.receiver.url)
    there = there.replace("Client()", 'Client("http://127.0.0.1:7676")')
    return python("-c", there.replace("http://127.0.0.1:7676", site.api))


def test_the_first_block_sends_a_task(site: EmbeddedSite) -> None:
    printed = shown(FIRST, site).split()
    (request,) = site.receiver.wait_for(1, "/hello")
    assert printed == [request.header("Idempotency-Key"), "default"]
    assert request.json() == {"to": "you"}


def test_the_awaited_block_sends_a_task(site: EmbeddedSite) -> None:
    shown(AWAITED, site)
    (request,) = site.receiver.wait_for(1, "/hello")
    assert request.body == b"awaited"


def test_the_batch_says_what_is_wrong(site: EmbeddedSite) -> None:
    complaint, count = shown(MANY, site).splitlines()
    assert complaint.startswith("url: ")
    assert count == "4 answers"
    assert len(site.receiver.wait_for(3, "/hello")) == 3


def test_where_no_daemon_is_the_task_is_kept(site: EmbeddedSite) -> None:
    assert shown(FAILING, site) == "1 to send later\n"


def test_a_task_is_watched_and_waited_for(site: EmbeddedSite) -> None:
    *watched, ended = shown(LOOKING, site).splitlines()
    assert watched[-1].endswith("succeeded")
    assert ended == "succeeded 200 ['responded']"


def test_tasks_and_queues_are_steered(site: EmbeddedSite) -> None:
    assert shown(STEERING, site).splitlines() == [
        "cancelled",
        "cancelled",
        "not cancelled",
        "('concurrency', 'rate')",
        "[('default', 0, False)]",
    ]
    site.receiver.wait_for(1, "/hello")


def test_letters_are_looked_at_replayed_and_dropped(site: EmbeddedSite) -> None:
    site.receiver.script("/broken", [Answer(500)])
    with Client(site.api) as client:
        client.send("/broken", id="broken", max_retries=0)
        assert client.wait("broken", 10).state == "failed"
    listed, letter, count, dropped = shown(LETTERS, site).splitlines()
    assert listed == "['broken']"
    assert letter
    assert (count, dropped) == ("1", "0 dropped")


def test_the_example_shows_what_it_says(site: EmbeddedSite) -> None:
    printed = python("-m", "examples.send_with_client", site.api, site.receiver.url)
    first, second, refused, batch = printed.splitlines()
    assert re.fullmatch(r"accepted \S{36} for queue default", first)
    assert second == "accepted invoice-7 for queue default"
    assert refused == "refused: max_retries (out_of_range)"
    assert batch == "9 accepted, 1 refused"
    site.receiver.wait_for(11)
    (invoice,) = site.receiver.received("/invoice")
    assert invoice.body == b'{"amount": 10.00}'


def test_the_example_of_steering_shows_what_it_says(site: EmbeddedSite) -> None:
    printed = python("-m", "examples.ask_and_cancel", site.api, site.receiver.url)
    assert printed.splitlines() == [
        "later: scheduled",
        "later: cancelled",
        "hello: succeeded",
        "hello: attempt 1 met responded 200",
        *(line for line in printed.splitlines() if line.startswith("hello: not cancelled, ")),
        "hello: succeeded again, as another run: True",
        "default: changed concurrency",
        "default: changed nothing",
    ]
    assert len(site.receiver.received("/hello")) == 2
    assert site.receiver.received("/later") == []
