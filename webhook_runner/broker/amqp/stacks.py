"""What speaks AMQP for us, by the names of the setting: our own client, or the library."""

import importlib
from typing import Literal, get_args

from webhook_runner.broker.amqp.lean_line import LeanLine
from webhook_runner.broker.amqp.line import Connect

Stack = Literal["lean", "aio-pika"]
STACKS: tuple[Stack, ...] = get_args(Stack)


def connect_by(stack: Stack) -> Connect:
    """Return how that client connects."""
    if stack == "lean":
        return LeanLine.connect
    # Few choose it, and everybody would have it in memory.
    room = importlib.import_module("webhook_runner.broker.amqp.library_line")
    connect: Connect = room.LibraryLine.connect
    return connect
