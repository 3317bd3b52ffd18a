"""Ten thousand bad messages at once: good ones go on, every one is counted, the log stays short."""

import urllib.request
from collections import Counter
from collections.abc import Iterable
from contextlib import closing

import pika
import pytest

from bench.filling import fill
from tests.parts.daemon import Daemon
from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.ports import free_port
from tests.parts.publisher import depth
from tests.parts.scene import eventually
from tests.parts.stage import Stage
from webhook_runner.broker.sqlite.batch import Entry

pytestmark = pytest.mark.system

FLOOD = 10_000
BAD, GOOD = b'{"url": 7}', b'{"url": "/good"}'


def flood(stage: Stage, port: int, bodies: Iterable[bytes]) -> Daemon:
    """Put messages into a queue as fast as may be, and let a daemon have them."""
    top = f'[api]\nlisten = "127.0.0.1:{port}"\n[log]\nlevel = "info"\nformat = "json"\n'
    if isinstance(stage, EmbeddedStage):
        fill(stage.file, (Entry("a", "{}", body) for body in bodies))
        return stage.daemon({"a": ""}, top=top)
    daemon = stage.daemon({"a": ""}, top=top)
    with closing(pika.BlockingConnection(pika.URLParameters(stage.url))) as connection:
        channel = connection.channel()
        for body in bodies:
            channel.basic_publish("", "a", body)
    return daemon


def kept(stage: Stage) -> int:
    if isinstance(stage, EmbeddedStage):
        return len(stage.invalid("a"))
    return depth(stage.url, "wr.v1.invalid.a")


def rejected(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        page = answer.read().decode()
    counted = (
        line for line in page.splitlines() if line.startswith("webhook_runner_invalid_total")
    )
    return sum(float(line.rpartition(" ")[2]) for line in counted)


def test_a_flood_makes_one_line_and_every_count(either_stage: Stage) -> None:
    port = free_port()
    daemon = flood(either_stage, port, [*[BAD] * FLOOD, GOOD])
    either_stage.receiver.wait_for(1, "/good", timeout=90)
    eventually(lambda: rejected(port) == FLOOD, 90)
    assert kept(either_stage) == FLOOD
    either_stage.wait_until_empty("a")
    assert daemon.terminate() == 0
    lines = Counter(str(event["event"]) for event in daemon.events)
    # Once a minute: a busy machine may take more than one for all of them.
    assert 1 <= lines["task.rejected"] <= 3
    assert len(daemon.lines) < 100
