"""The other end of an AMQP connection, played by a test word for word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pamqp.frame
from pamqp.base import Frame
from pamqp.commands import Channel, Confirm, Connection
from pamqp.header import ProtocolHeader
from pamqp.heartbeat import Heartbeat

from webhook_runner.broker.amqp.line import Address, Line, address
from webhook_runner.broker.amqp.stacks import connect_by
from webhook_runner.settings import BrokerSettings

HEAD = 7
VIRTUAL_HOST = "over/there"
F = TypeVar("F")


class Peer:
    """Reads what the client says, frame by frame, and answers as it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hear(self, kind: type[F]) -> F:
        """Return the next frame, which must be of that kind; heartbeats are passed over."""
        while True:
            _, frame = await self.frame()
            if kind is Heartbeat or not isinstance(frame, Heartbeat):
                assert isinstance(frame, kind), frame
                return frame

    async def frame(self) -> tuple[int, Any]:
        head = await self.reader.readexactly(HEAD)
        if head.startswith(b"AMQP"):
            await self.reader.readexactly(1)
            return 0, ProtocolHeader()
        rest = await self.reader.readexactly(int.from_bytes(head[3:]) + 1)
        _, channel, frame = pamqp.frame.unmarshal(head + rest)
        return channel, frame

    def say(self, *frames: Any, channel: int = 1) -> None:
        packed = b"".join(pamqp.frame.marshal(each, channel) for each in frames)
        self.writer.write(packed)

    async def greet(
        self,
        *,
        mechanisms: str = "PLAIN EXTERNAL",
        frame_max: int = 131_072,
        channel_max: int = 2047,
        **capabilities: bool,
    ) -> Connection.StartOk:
        """Open the connection; what the client said of itself."""
        await self.hear(ProtocolHeader)
        about: Any = {"version": "9.9", "capabilities": capabilities}
        self.say(Connection.Start(server_properties=about, mechanisms=mechanisms), channel=0)
        presented = await self.hear(Connection.StartOk)
        self.say(Connection.Tune(channel_max, frame_max, 60), channel=0)
        await self.hear(Connection.TuneOk)
        assert (await self.hear(Connection.Open)).virtual_host == VIRTUAL_HOST
        self.say(Connection.OpenOk(), channel=0)
        return presented

    async def open(self, *, confirms: bool = False, channel: int = 1) -> None:
        await self.answer(Channel.Open, Channel.OpenOk(), channel)
        if confirms:
            await self.answer(Confirm.Select, Confirm.SelectOk(), channel)

    async def answer(self, asked: type[F], answer: Frame, channel: int = 1) -> F:
        heard = await self.hear(asked)
        self.say(answer, channel=channel)
        return heard


class Place:
    """Where a peer waits for clients; ``blocked`` is what the lines of `connect` were told."""

    def __init__(self) -> None:
        self.url = ""
        self.blocked: list[str] = []
        self._met: asyncio.Queue[Peer] = asyncio.Queue()

    def where(self, **settings: Any) -> Address:
        # So long that no heartbeat comes unasked.
        chosen = BrokerSettings.model_validate({"heartbeat": 600} | settings)
        return address(self.url, chosen, "test")

    def connect(self, **settings: Any) -> asyncio.Task[Line]:
        """Begin to connect the lean client."""

        async def connecting() -> Line:
            return await connect_by("lean")(
                self.where(**settings),
                frozenset(),
                self.blocked.append,
                lambda: self.blocked.append("unblocked"),
            )

        return asyncio.ensure_future(connecting())

    async def met(self) -> Peer:
        """Return the next client's peer."""
        return await self._met.get()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._met.put_nowait(peer)


@asynccontextmanager
async def amqp_place() -> AsyncIterator[Place]:
    place = Place()
    peers: list[asyncio.StreamWriter] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer)
        await place.meet(reader, writer)

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        place.url = f"amqp://me:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/over%2Fthere"
        yield place
        for writer in peers:
            writer.close()
