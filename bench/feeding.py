"""Publish scripted tasks through the doors of the daemon or of RabbitMQ, and keep a ledger."""

import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pika

from bench.script import QUEUES, Scripted, script

LARGEST_BATCH = 40
SECONDS_BETWEEN = 0.15
_AGAIN_SECONDS = 0.02
_TIMEOUT_SECONDS = 20


@dataclass(slots=True)
class Entry:
    """What became of the publishing of one task.

    Attributes:
        sent_at: epoch seconds just before it was published.
        accepted: answered 202, or confirmed. If not, it is unknown whether it is there.
        id: the id that it was accepted under, or "" when its publisher was told none.

    """

    task: Scripted
    sent_at: float
    accepted: bool = False
    id: str = ""


class Door(Protocol):
    """A way to publish; tells of a batch which entries were accepted, by changing them."""

    def publish(self, entries: Sequence[Entry]) -> bool:
        """Publish; False when nothing was sent, so that it can be tried again."""

    def close(self) -> None: ...


class ApiDoor:
    """``POST /v1/tasks`` with an array."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)

    def publish(self, entries: Sequence[Entry]) -> bool:
        body = json.dumps([each.task.message(each.sent_at) for each in entries]).encode()
        if self._connection.sock is None:
            try:
                self._connection.connect()
            except OSError:
                return False
        try:
            said = json.loads(self.post(body))
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return True  # no answer: it may be there or not
        for entry, result in zip(entries, said.get("results", ()), strict=False):
            entry.accepted = result["status"] == 202
            entry.id = result.get("id", "")
        return True

    def post(self, body: bytes) -> bytes:
        """Send an array and return the answer. Raises OSError and HTTPException."""
        self._connection.request("POST", "/v1/tasks", body, {"Content-Type": "application/json"})
        return self._connection.getresponse().read()

    def close(self) -> None:
        self._connection.close()


class AmqpDoor:
    """A plain AMQP client with confirms, as any application would be."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self._properties = pika.BasicProperties(delivery_mode=2)  # type: ignore[no-untyped-call]

    def publish(self, entries: Sequence[Entry]) -> bool:
        for entry in entries:
            entry.sent_at = time.time()
            body = json.dumps(entry.task.message(entry.sent_at)).encode()
            self._channel.basic_publish(
                "", entry.task.queue, body, self._properties, mandatory=True
            )
            entry.accepted, entry.id = True, entry.task.id if entry.task.named else ""
        return True

    def close(self) -> None:
        self._connection.close()


def by_one_door(task: Scripted) -> Scripted:
    """Return the task for a door that knows no queues: it names its own."""
    return replace(task, queue=QUEUES[0], moved=task.moved or task.queue == QUEUES[1])


class Feeder:
    """Publishes in a thread of its own, in batches, no faster than its quota grows."""

    def __init__(self, door: Door, seed: int, *, one_door: bool) -> None:
        self.ledger: list[Entry] = []
        self.accepted = 0
        self.error: Exception | None = None
        self._door = door
        self._seed = seed
        self._one_door = one_door
        self._quota = 0
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._thread.start()

    def allow(self, quota: int) -> None:
        """Let so many tasks be accepted in all."""
        with self._changed:
            self._quota = quota
            self._changed.notify()

    def close(self) -> None:
        """End when the quota is reached. Raises what the door raised."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join()
        self._door.close()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        dice = random.Random(self._seed)
        try:
            while (room := self._room()) > 0:
                self._publish(min(room, dice.randint(1, LARGEST_BATCH)))
                time.sleep(dice.uniform(0, SECONDS_BETWEEN))
        except Exception as error:  # noqa: BLE001 - handed on by `close`
            self.error = error

    def _room(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._ending or self.accepted < self._quota)
            return self._quota - self.accepted

    def _publish(self, size: int) -> None:
        first = len(self.ledger)
        tasks = [script(number, self._seed) for number in range(first, first + size)]
        if self._one_door:
            tasks = [by_one_door(task) for task in tasks]
        entries = [Entry(task, time.time()) for task in tasks]
        while not self._door.publish(entries):
            time.sleep(_AGAIN_SECONDS)
            now = time.time()
            entries = [Entry(task, now) for task in tasks]
        self.ledger += entries
        self.accepted += sum(entry.accepted for entry in entries)
