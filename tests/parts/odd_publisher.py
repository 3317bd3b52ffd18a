"""A publisher of messages that no library would send, byte by byte."""

import struct

from webhook_runner.broker.amqp import frames
from webhook_runner.broker.amqp.lean_channel import LeanChannel
from webhook_runner.broker.amqp.line import address
from webhook_runner.broker.amqp.stacks import connect_by
from webhook_runner.broker.amqp.topology import Binding
from webhook_runner.settings import BrokerSettings

FANOUT = "amq.fanout"


async def publish_nested(url: str, queue: str, body: bytes, depth: int) -> None:
    """Publish a message with a header that is a table within a table, and so on."""
    table = b""
    for _ in range(depth):
        table = b"\x01kF" + struct.pack(">I", len(table)) + table
    header = struct.pack(">HHQHI", 60, 0, len(body), 0x2000, len(table)) + table
    await _publish(url, queue, [frames.publish(1, "", queue), _frame(2, header), _frame(3, body)])


async def publish_by_key(url: str, queue: str, body: bytes, key: bytes) -> None:
    """Publish a message with any bytes for its routing key."""
    exchange = FANOUT.encode()
    method = struct.pack(">HHH", 60, 40, 0) + _short(exchange) + _short(key) + b"\0"
    header = struct.pack(">HHQH", 60, 0, len(body), 0)
    await _publish(url, queue, [_frame(1, method), _frame(2, header), _frame(3, body)])


async def _publish(url: str, queue: str, packed: list[bytes]) -> None:
    where = address(url, BrokerSettings(), "odd")
    line = await connect_by("lean")(where, frozenset(), lambda _: None, lambda: None)
    channel = await line.channel(confirms=True)
    assert isinstance(channel, LeanChannel)
    await channel.bind(Binding(FANOUT, queue))
    confirm = channel._confirms.next("odd")
    channel._connection.write(b"".join(packed))
    await confirm
    await line.close()


def _short(raw: bytes) -> bytes:
    return bytes((len(raw),)) + raw


def _frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"
