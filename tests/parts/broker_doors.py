"""The doors of each broker: messages published by AMQP, or lying in a queue file."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pika

from bench.filling import fill
from tests.parts.corpus import Case, amqp_value
from tests.parts.doors import QUEUE, Doors, Letter
from tests.parts.publisher import depth, drain
from tests.parts.receiver import Receiver
from webhook_runner.broker.sqlite.record import entry_of_message
from webhook_runner.task.model import Message


class RabbitDoors(Doors):
    """Messages are published by AMQP."""

    def carries(self, case: Case) -> bool:
        # A ring of the wheel is 64 quorum queues, which are made when they are first needed.
        return case.ends != "scheduled"

    def _before(self, cases: list[Case]) -> None:
        pass

    def _after(self, cases: list[Case]) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self._server))
        with closing(connection):
            channel = connection.channel()
            channel.confirm_delivery()
            for case in filter(self.carries, cases):
                channel.basic_publish("", QUEUE, case.body, _properties(case), mandatory=True)

    def _count(self) -> int:
        return depth(self._server, f"wr.v1.invalid.{QUEUE}")

    def _new_letters(self) -> Iterator[Letter]:
        for each in drain(self._server, f"wr.v1.invalid.{QUEUE}"):
            yield Letter(each.properties.correlation_id or "", each.body, each.headers)


class EmbeddedDoors(Doors):
    """Messages lie in the queue file, as an application of an earlier version has left them."""

    _last = 0

    def __init__(self, directory: Path, receiver: Receiver) -> None:
        self._file = directory / "queue.db"
        super().__init__(f"embedded:{self._file}", directory, receiver)

    def carries(self, case: Case) -> bool:
        return "properties" not in case.facts

    def _before(self, cases: list[Case]) -> None:
        known = {"message_id", "content_type", "content_encoding", "traceparent"}
        fill(
            self._file,
            (
                entry_of_message(
                    QUEUE,
                    Message(
                        case.body,
                        correlation_id=case.tag,
                        **{key: case.message[key] for key in known & case.message.keys()},
                    ),
                )
                for case in cases
                if self.carries(case)
            ),
        )

    def _after(self, cases: list[Case]) -> None:
        pass

    def _count(self) -> int:
        return len(self._ask("SELECT id FROM invalid WHERE id > :last"))

    def _new_letters(self) -> Iterator[Letter]:
        question = "SELECT id, body, headers, properties FROM invalid WHERE id > :last ORDER BY id"
        for number, body, headers, properties in self._ask(question):
            self._last = number
            told = json.loads(properties)
            yield Letter(told.get("correlation_id", ""), body, json.loads(headers))

    def _ask(self, question: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as database:
            return database.execute(question, {"last": self._last}).fetchall()


def _properties(case: Case) -> pika.BasicProperties:
    told = case.message
    properties = {
        "correlation_id": case.tag,
        "content_type": told.get("content_type"),
        "content_encoding": told.get("content_encoding"),
        "message_id": told.get("message_id"),
        "delivery_mode": 2 if told.get("persistent", True) else 1,
        "expiration": "600000" if told.get("expiration") else None,
        "headers": {"traceparent": told["traceparent"]} if "traceparent" in told else None,
    }
    properties |= amqp_value(case.facts.get("properties", {}))
    return pika.BasicProperties(**properties)  # type: ignore[no-untyped-call]
