"""What is left in the broker when the daemon has ended: dead letters, and what should not be."""

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.script import QUEUES, number_of
from tests.parts import publisher
from tests.parts.node import NodeError, RabbitNode

_KEPT = ("wr.v1.dead.", "wr.v1.invalid.", "wr.v1.tombstones")


@dataclass(slots=True)
class Remains:
    """What is left.

    Attributes:
        dead: how many dead letters there are of each id.
        numbers: the task of each such id.
        invalid: how many messages were quarantined.
        others: what else is left, by the name of its queue or table.

    """

    dead: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, int] = field(default_factory=dict)
    invalid: int = 0
    others: dict[str, int] = field(default_factory=dict)

    def bury(self, name: str, body: bytes) -> None:
        self.dead[name] += 1
        self.numbers[name] = number_of(json.loads(body)["url"])


def in_file(path: Path) -> Remains:
    """Read the file of the embedded broker."""
    remains = Remains()
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        for headers, body in file.execute("SELECT headers, body FROM dead"):
            remains.bury(json.loads(headers)["wr-id"], body)
        remains.invalid = _count(file, "invalid")
        counts = {table: _count(file, table) for table in ("ready", "unacked", "message")}
    remains.others = {table: count for table, count in counts.items() if count}
    file.close()
    return remains


def in_rabbitmq(node: RabbitNode, vhost: str) -> Remains:
    """Drain RabbitMQ's queues of dead letters, and count what is in the others."""
    remains, url = Remains(), node.vhost_url(vhost)
    depths = node.queue_depths(vhost)
    for queue in QUEUES:
        for letter in publisher.drain(url, f"wr.v1.dead.{queue}"):
            remains.bury(str(letter.headers["wr-id"]), letter.body)
    remains.invalid = sum(sum(depths.get(f"wr.v1.invalid.{queue}", ())) for queue in QUEUES)
    remains.others = {
        name: sum(counts)
        for name, counts in depths.items()
        if any(counts) and not name.startswith(_KEPT)
    }
    return remains


def waiting_in_file(path: Path) -> int:
    """Return how many messages wait or are under way. Raises sqlite3.OperationalError."""
    file = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return _count(file, "ready") + _count(file, "unacked")
    finally:
        file.close()


def waiting_in_rabbitmq(node: RabbitNode, vhost: str) -> int:
    """Return how many messages wait or are under way, or -1 when the node does not say."""
    try:
        depths = node.queue_depths(vhost)
    except NodeError:
        return -1
    return sum(sum(counts) for name, counts in depths.items() if not name.startswith(_KEPT))


def _count(file: sqlite3.Connection, table: str) -> int:
    return int(file.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
