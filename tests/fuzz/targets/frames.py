"""What a broker says once a connection is open: frames, however cut, or a reason why it ends."""

import asyncio

from webhook_runner.broker.amqp.channel import Arrival
from webhook_runner.broker.amqp.handshake import Account, Agreement
from webhook_runner.broker.amqp.lean_channel import LeanChannel
from webhook_runner.broker.amqp.lean_connection import LeanConnection

LARGEST = 4096
ACCOUNT = Account("h", 5672, "me", "secret", "/", external=False, heartbeat=10, name="fuzz")
_LOOP = asyncio.new_event_loop()

Told = list[tuple[int, str, bytes, object]]


def check(data: bytes) -> None:
    whole, why = _LOOP.run_until_complete(said([data]))
    half = len(data) // 2
    for pieces in ([data[:half], data[half:]], [data[at : at + 1] for at in range(len(data))]):
        assert _LOOP.run_until_complete(said(pieces)) == (whole, why)


async def said(pieces: list[bytes]) -> tuple[Told, str]:
    """Return what arrived, and why the connection ended, without what it shows of the bytes."""
    connection = LeanConnection(ACCOUNT, lambda _: None, lambda: None)
    connection._agree(Agreement(LARGEST, 10, {}))
    connection.channels[1] = channel = LeanChannel(connection, 1)
    told: Told = []

    def receive(arrival: Arrival) -> None:
        told.append((arrival.tag, arrival.key, arrival.body, sorted(arrival.headers)))

    channel._hand_to("c", receive)
    for piece in pieces:
        if not connection.ended:
            connection.data_received(piece)
    why = connection.ended
    assert "receiver failed" not in why
    connection.abort()
    return told, why.partition(":")[0]
