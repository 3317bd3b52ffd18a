"""A connection on its way, to a server that ends it while it is being opened."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pamqp.frame
import pytest
from pamqp.commands import Connection as Frames

from webhook_runner.broker.amqp.line import Line, address
from webhook_runner.broker.amqp.stacks import STACKS, Stack, connect_by
from webhook_runner.errors import BrokerUnavailableError
from webhook_runner.settings import BrokerSettings

START = pamqp.frame.marshal(Frames.Start(server_properties={}), 0)
REFUSAL = pamqp.frame.marshal(Frames.Close(530, "vhost not found", 10, 40), 0)


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        await reader.read(8)
        writer.write(START)
        await reader.read(1)
        writer.write(REFUSAL)
        await reader.read()


@pytest.fixture
async def refusing() -> AsyncIterator[str]:
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> Stack:
    stack: Stack = request.param
    return stack


def connect(server: str, stack: Stack) -> asyncio.Task[Line]:
    where = address(server, BrokerSettings(), "test")

    async def opening() -> Line:
        return await connect_by(stack)(where, frozenset(), lambda _: None, lambda: None)

    return asyncio.ensure_future(opening())


async def test_a_refusal_is_told(refusing: str, stack: Stack) -> None:
    with pytest.raises(BrokerUnavailableError, match="vhost not found"):
        await connect(refusing, stack)


async def test_a_cancellation_is_never_lost_to_a_refusal(refusing: str, stack: Stack) -> None:
    turns = 0
    while True:
        turns += 1
        connecting = connect(refusing, stack)
        for _ in range(turns):
            await asyncio.sleep(0)
        if connecting.done():
            break
        connecting.cancel()
        await asyncio.wait((connecting,))
        assert connecting.cancelled(), f"after {turns} turns"
    assert turns > 1
    with pytest.raises(BrokerUnavailableError):
        connecting.result()
