"""Publishing as fast as a broker takes it: every message is a copy of one that was packed once."""

import contextlib
import math
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Self, cast
from urllib.parse import urlsplit

from pamqp import base, body, commands, frame, header

NUMBER = "00000000"
"""Stands in a letter wherever the number of the task is to be."""
WAIT = "  999.999"
"""Stands where the seconds of its countdown are to be."""
PORT = 5672
_CHUNK = 200
_BEAT_SECONDS = 0.01
_MOST_UNCONFIRMED = 4000
_TIMEOUT_SECONDS = 60.0


def letter(queue: str, content: bytes, properties: commands.Basic.Properties) -> bytes:
    """Pack a message for a queue, with NUMBER and WAIT still in it."""
    parts = (
        commands.Basic.Publish(routing_key=queue),
        header.ContentHeader(body_size=len(content), properties=properties),
        body.ContentBody(content),
    )
    return b"".join(frame.marshal(part, 1) for part in parts)


def numbered(packed: bytes, number: int, wait: float = 0.0) -> bytes:
    """Return a copy for this task; what is put in has the length of what stood there."""
    copy = packed.replace(NUMBER.encode(), b"%08d" % number)
    return copy.replace(WAIT.encode(), b"%9.3f" % wait)


class Wire:
    """One connection with one channel, whose messages are confirmed."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection(
            (place.hostname or "", place.port or PORT), _TIMEOUT_SECONDS
        )
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""
        self._sent = self._confirmed = 0
        self._singly: set[int] = set()
        self._open(place.path[1:] or "/", place.username or "", place.password or "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def publish(self, letters: Iterable[bytes], per_second: float = math.inf) -> int:
        """Publish all of them and wait until they are confirmed; return how many they were."""
        rest, before, began = iter(letters), self._sent, time.monotonic()
        most = int(min(_CHUNK, max(1, per_second * _BEAT_SECONDS)))
        while chunk := list(islice(rest, most)):
            self._socket.sendall(b"".join(chunk))
            self._sent += len(chunk)
            self._read_until(lambda: self._sent - self._confirmed <= _MOST_UNCONFIRMED)
            time.sleep(max(0.0, began + (self._sent - before) / per_second - time.monotonic()))
        self._read_until(lambda: self._confirmed == self._sent)
        return self._sent - before

    def publish_at(self, letters: Sequence[bytes], gap: float) -> list[float]:
        """Publish one after the other, so many seconds apart; return when (epoch seconds)."""
        times = []
        began = time.monotonic()
        for number, each in enumerate(letters):
            time.sleep(max(0.0, began + number * gap - time.monotonic()))
            times.append(time.time())
            self._socket.sendall(each)
            self._sent += 1
        self._read_until(lambda: self._confirmed == self._sent)
        return times

    def depth(self, queue: str) -> int:
        """Return how many messages of a queue wait to be handed out."""
        declared = self._call(commands.Queue.Declare(queue=queue, passive=True), 1)
        return cast("commands.Queue.DeclareOk", declared).message_count or 0

    def declare(self, queue: str, kind: str, arguments: Mapping[str, object]) -> None:
        """Declare a durable queue, "classic" or "quorum", and drop all that waits in it."""
        wanted = {"x-queue-type": kind, **arguments}
        declare = commands.Queue.Declare(queue=queue, durable=True, arguments=wanted)  # type: ignore[arg-type]
        self._call(declare, 1)
        self._call(commands.Queue.Purge(queue=queue), 1)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._call(commands.Connection.Close(200, "done", 0, 0), 0)
        self._socket.close()

    def _open(self, vhost: str, user: str, password: str) -> None:
        self._socket.sendall(frame.marshal(header.ProtocolHeader(), 0))
        self._next()
        answer = f"\0{user}\0{password}"
        self._send(commands.Connection.StartOk(response=answer), 0)
        self._next()
        self._send(commands.Connection.TuneOk(channel_max=1, frame_max=131072, heartbeat=0), 0)
        self._call(commands.Connection.Open(virtual_host=vhost), 0)
        self._call(commands.Channel.Open(), 1)
        self._call(commands.Confirm.Select(), 1)

    def _send(self, method: base.Frame, channel: int) -> None:
        self._socket.sendall(frame.marshal(method, channel))

    def _call(self, method: base.Frame, channel: int) -> object:
        self._send(method, channel)
        while isinstance(answer := self._next(), commands.Basic.Ack):
            self._confirm(answer)
        if isinstance(answer, commands.Connection.Close | commands.Channel.Close):
            raise ConnectionError(answer.reply_text)
        return answer

    def _read_until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._confirm(self._next())

    def _confirm(self, answer: object) -> None:
        if not isinstance(answer, commands.Basic.Ack):
            raise ConnectionError(f"the broker said {answer!r}")
        if answer.multiple:
            self._confirmed = answer.delivery_tag
            self._singly = {tag for tag in self._singly if tag > self._confirmed}
        else:
            self._singly.add(answer.delivery_tag)
        while self._confirmed + 1 in self._singly:
            self._confirmed += 1
            self._singly.remove(self._confirmed)

    def _next(self) -> object:
        while True:
            if self._held:
                taken, _, found = frame.unmarshal(self._held)
                if taken and found is not None:
                    self._held = self._held[taken:]
                    return found
            got = self._socket.recv(65536)
            if not got:
                raise ConnectionError("the broker closed the connection")
            self._held += got
