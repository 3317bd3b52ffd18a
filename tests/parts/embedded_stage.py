"""A stage on a queue file: tasks are handed in by HTTP, the file is looked into from outside."""

import http.client
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.parts.ports import free_port
from tests.parts.receiver import Receiver
from tests.parts.stage import Body, SetAside, Stage

ACCEPTED = 202
_MOST = 1000
_DEPTHS = """
SELECT queue, sum(ready), sum(unacked), (SELECT pid FROM owner) FROM (
  SELECT iif(due > :now, 'waiting', queue) AS queue, 1 AS ready, 0 AS unacked FROM ready
  UNION ALL SELECT queue, 0, 1 FROM unacked) GROUP BY queue"""


class NotAcceptedError(Exception):
    """The daemon has answered, but not with 202."""

    def __init__(self, status: int, document: Any) -> None:
        super().__init__(f"{status}: {document}")
        self.status = status
        self.document = document


class EmbeddedStage(Stage):
    """See `Stage`; one daemon at a time owns the file, which is in ``directory``."""

    def __init__(self, directory: Path, receiver: Receiver) -> None:
        self.file = directory / "queue.db"
        self.port = free_port()
        super().__init__(f"embedded:{self.file}", receiver, f"127.0.0.1:{self.port}")
        self._last_taken: Counter[tuple[str, str]] = Counter()

    def publish(self, queue: str, *bodies: Body, traceparent: str = "") -> list[bytes]:
        """Hand in to the running daemon.

        Raises NotAcceptedError, or OSError when there was no answer: then it may be kept or not.
        """
        raw = [_addressed(body, queue) for body in bodies]
        for first in range(0, len(raw), _MOST):
            some = raw[first : first + _MOST]
            if len(some) == 1:
                self.post(some[0], traceparent)
                continue
            results = self.post(b"[%s]" % b",".join(some), traceparent)["results"]
            if refused := [each for each in results if each["status"] != ACCEPTED]:
                raise NotAcceptedError(refused[0]["status"], refused)
        return raw

    def post(self, body: bytes, traceparent: str = "") -> Any:
        """Send one body to the API; return its answer. Raises as `publish` does."""
        headers = {"Content-Type": "application/json"}
        if traceparent:
            headers["traceparent"] = traceparent
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("POST", "/v1/tasks", body, headers)
            answer = connection.getresponse()
            document = json.load(answer)
        if answer.status != ACCEPTED:
            raise NotAcceptedError(answer.status, document)
        return document

    def depths(self, queue: str) -> tuple[int, int]:
        return self.under_way().get(queue, (0, 0))

    def under_way(self) -> dict[str, tuple[int, int]]:
        found = self._ask(_DEPTHS, now=int(time.time() * 1000))
        # What its owner had in hand when it ended is ready again, for whoever opens the file next.
        return {
            queue: (ready, unacked) if _lives(pid) else (ready + unacked, 0)
            for queue, ready, unacked, pid in found
        }

    def dead(self, queue: str) -> list[SetAside]:
        return list(self._taken("dead", queue))

    def invalid(self, queue: str) -> list[SetAside]:
        return list(self._taken("invalid", queue))

    def _taken(self, table: str, queue: str) -> Iterator[SetAside]:
        """Give what came since the last time: the file stays as it is."""
        question = f"SELECT id, body, headers FROM {table} WHERE queue = :queue AND id > :last"
        last = self._last_taken[table, queue]
        for number, body, headers in self._ask(f"{question} ORDER BY id", queue=queue, last=last):
            self._last_taken[table, queue] = number
            yield SetAside(body, json.loads(headers))

    def _ask(self, question: str, **values: object) -> list[tuple[Any, ...]]:
        # A reader of its own for each question: it must not keep the daemon from a checkpoint.
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as database:
            return database.execute(question, values).fetchall()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _addressed(body: Body, queue: str) -> bytes:
    """Write a task down; one that names no queue, or null, gets this one, and is else as it is."""
    if not isinstance(body, bytes):
        named = body if body.get("queue") is not None else {**body, "queue": queue}
        return json.dumps(named).encode()
    if "queue" in json.loads(body):
        return body
    return b'{"queue": %s, %s' % (json.dumps(queue).encode(), body.lstrip()[1:].lstrip())
