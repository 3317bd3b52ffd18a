"""A name server of a test's own: says what a table tells it to, tricks included, and counts."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self, cast

from tests.parts.loop_thread import LoopThread
from tests.parts.watch import Watch

Turn = Sequence[str]
"""What one look-up of a name is told: addresses, another name (CNAME), or one of these words."""

NXDOMAIN, SERVFAIL, REFUSED = "NXDOMAIN", "SERVFAIL", "REFUSED"
GARBAGE, SILENCE, HELD, TRUNCATED = "GARBAGE", "SILENCE", "HELD", "TRUNCATED"

_CODES = {SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5}
_A, _CNAME, _AAAA = 1, 5, 28
_MOST_BY_UDP = 512
_LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What one packet asks."""

    number: bytes
    name: str
    kind: int
    section: bytes

    @classmethod
    def parse(cls, packet: bytes) -> Self:
        """Read the first question of a packet."""
        labels, at = [], 12
        while length := packet[at]:
            labels.append(packet[at + 1 : at + 1 + length].decode("latin-1").lower())
            at += 1 + length
        (kind,) = struct.unpack_from("!H", packet, at + 1)
        return cls(packet[:2], ".".join(labels), kind, packet[12 : at + 5])


class NameServer:
    """Each name has turns, one for each look-up; the last repeats. Unknown names: NXDOMAIN.

    A look-up asks for IPv4 and for IPv6, and each kind is counted apart. What is HELD is told
    NXDOMAIN at `release`.
    """

    def __init__(
        self, table: Mapping[str, Sequence[Turn]], address: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.asked: Counter[str] = Counter()
        self._table = table
        self._turns: Counter[tuple[str, int]] = Counter()
        self._watch = Watch()
        self._thread = LoopThread("name server")
        self._released = self._thread.run(_made(asyncio.Event))
        self._transport, self._server = self._thread.run(self._listen(address, port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering."""
        if not self._thread.loop.is_closed():
            self._thread.call(self._transport.close)
            self._thread.call(self._server.close)
            self._thread.close()

    def tell(self, table: Mapping[str, Sequence[Turn]]) -> None:
        """From now on say what this table says, from the first turn on."""
        self._table = table
        self._turns.clear()

    def release(self) -> None:
        """Let held questions be answered, and hold none from now on."""
        self._thread.call(self._released.set)

    async def wait_for(self, names: int, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as elsewhere
        """Await until so many different names were asked for. Raises TimeoutError."""
        await self._watch.until_async(
            lambda: len(self.asked) >= names, timeout, lambda: f"{len(self.asked)} names so far"
        )

    async def _listen(
        self, address: str, port: int
    ) -> tuple[asyncio.DatagramTransport, asyncio.Server]:
        server = await asyncio.start_server(self._serve, address, port)
        found = server.sockets[0].getsockname()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Packets(self), local_addr=(address, found[1])
        )
        # Names are asked for by the hundred; what finds no room is asked again after 30 s.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        return transport, server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                question = Question.parse(await reader.readexactly(length))
                answer = await self.answer(question, by_udp=False)
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, question: Question, *, by_udp: bool) -> bytes:
        """Return the packet that answers; empty: none does."""
        self.asked[question.name] += 1
        self._watch.stir()
        turns = self._table.get(question.name, [[NXDOMAIN]])
        turn = turns[min(self._turns[question.name, question.kind], len(turns) - 1)]
        if by_udp and TRUNCATED in turn:
            return _packet(question, flags=0x8780)
        self._turns[question.name, question.kind] += 1
        if SILENCE in turn:
            return b""
        if HELD in turn:
            await self._released.wait()
            return _packet(question, flags=0x8580 | _CODES[NXDOMAIN])
        if GARBAGE in turn:
            return question.number + b"\x85\x80\xff\xff" + b"\xc0" * 40
        code = next((_CODES[word] for word in turn if word in _CODES), 0)
        records = list(self._records(question, turn))
        packet = _packet(question, records, flags=0x8580 | code)
        is_too_long = by_udp and len(packet) > _MOST_BY_UDP
        return _packet(question, flags=0x8780) if is_too_long else packet

    def _records(self, question: Question, turn: Turn) -> Iterator[bytes]:
        """Give the records of a turn, along the chain of names it may begin."""
        owner = b"\xc0\x0c"
        for _ in range(_LONGEST_CHAIN):
            for address in filter(_is_address, turn):
                packed = ip_address(address).packed
                if question.kind == (_A if len(packed) == len(b"IPv4") else _AAAA):
                    yield _record(owner, question.kind, packed)
            names = [each for each in turn if "." in each and not _is_address(each)]
            if not names:
                return
            yield _record(owner, _CNAME, _encoded(names[0]))
            owner, turn = _encoded(names[0]), self._table.get(names[0], [[]])[-1]


class _Packets(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._answering: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.ensure_future(self._answer(Question.parse(data), addr))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, question: Question, address: tuple[str, int]) -> None:
        if answer := await self._server.answer(question, by_udp=True):
            self._transport.sendto(answer, address)


def _packet(question: Question, records: Sequence[bytes] = (), *, flags: int) -> bytes:
    head = struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return question.number + head + question.section + b"".join(records)


def _record(owner: bytes, kind: int, content: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 0, len(content)) + content


def _encoded(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\x00"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


async def _made(make: type[asyncio.Event]) -> asyncio.Event:
    return make()
