"""What speaks AMQP for us, by the names of the setting: our own client, or the library."""

from collections.abc import Mapping
from typing import Literal

from webhook_runner.broker.amqp.lean_line import LeanLine
from webhook_runner.broker.amqp.library_line import LibraryLine
from webhook_runner.broker.amqp.line import Connect

Stack = Literal["lean", "aio-pika"]

STACKS: Mapping[Stack, Connect] = {"lean": LeanLine.connect, "aio-pika": LibraryLine.connect}
