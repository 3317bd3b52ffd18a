"""One who takes part: how its worker is started, and what message it is given for a task."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pamqp import commands

from bench.race.wire import NUMBER

QUEUE = "default"
IN_FLIGHT = 100
PAYLOAD: Mapping[str, object] = {"number": 12345678, "text": "x" * 420}
"""With it a message of ours, and of the rivals, has about 500 bytes."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a worker is given: a directory, its broker, the kind of its queue."""

    directory: Path
    broker: str
    kind: str


@dataclass(frozen=True, slots=True)
class Command:
    """A program with what its environment has besides ours."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """A body and its properties, with the marks of `wire` in them."""

    body: bytes
    properties: commands.Basic.Properties


@dataclass(frozen=True, slots=True)
class Contender:
    """One who takes part in a race.

    Attributes:
        name: as the table has it.
        tasks: so many take it some seconds.
        command: how its worker is started.
        message: what is published for a task, given its URL.
        arguments: of its queue, by the kind of the queue, beyond the kind.
        cpus: where its worker may run; empty: anywhere.

    """

    name: str
    tasks: int
    command: Callable[[Ground], Command]
    message: Callable[[str], Message]
    arguments: Callable[[str], Mapping[str, object]] = lambda _: {}
    cpus: tuple[int, ...] = ()


def properties(**more: object) -> commands.Basic.Properties:
    """Return properties of a persistent JSON message."""
    wanted = {"content_type": "application/json", "delivery_mode": 2} | more
    return commands.Basic.Properties(**wanted)  # type: ignore[arg-type]


def identifier() -> str:
    """Return a UUID that has a place for the number of the task."""
    return f"{NUMBER}-{str(uuid.UUID(int=0x4000_8000_0000_0000_0000))[9:]}"


def plain(url: str, **fields: object) -> Message:
    """Return the message that webhook_runner takes, which the plain consumers take too."""
    task = {"url": url, "id": identifier(), **fields, "payload": PAYLOAD}
    return Message(json.dumps(task).encode(), properties())
