"""A stream of bytes becomes frames, however it was cut into pieces on its way."""

import struct
from collections.abc import Callable

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
HEAD_SIZE = 7
FRAMING = HEAD_SIZE + 1
"""The bytes of a frame beside its payload."""

KINDS = frozenset({METHOD, HEADER, BODY, HEARTBEAT})
_HEAD = struct.Struct(">BHI").unpack_from
_END = 0xCE
_SHOWN = 20

Take = Callable[[int, int, bytes], None]


class FrameError(Exception):
    """What came is no AMQP, or not what could come then."""


class FrameReader:
    """Calls ``take`` with kind, channel and payload of each frame as soon as it is complete.

    ``largest`` is how many bytes a frame may have, from its head to its end.
    """

    def __init__(self, take: Take, largest: int) -> None:
        self._take = take
        self._largest = largest - FRAMING
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._needed = 0

    def allow(self, largest: int) -> None:
        """Change what was negotiated."""
        self._largest = largest - FRAMING

    def feed(self, data: bytes) -> None:
        """Take what came. Raises FrameError, and whatever ``take`` raises."""
        if self._held:
            data = self._joined(data)
        at, end, take = 0, len(data), self._take
        while end - at >= HEAD_SIZE:
            kind, channel, size = _HEAD(data, at)
            after = at + size + FRAMING
            if after > end or size > self._largest:
                self._check(data, at, kind, size)
                self._hold(data[at:], size + FRAMING)
                return
            if data[after - 1] != _END:
                raise FrameError(f"no AMQP: a frame without an end: {data[at : at + _SHOWN]!r}")
            take(kind, channel, data[at + HEAD_SIZE : after - 1])
            at = after
        if at < end:
            self._hold(data[at:], HEAD_SIZE)

    def _check(self, data: bytes, at: int, kind: int, size: int) -> None:
        if kind not in KINDS:
            raise FrameError(f"no AMQP: {data[at : at + _SHOWN]!r}")
        if size > self._largest:
            raise FrameError(f"a frame of {size} bytes, more than were agreed on")

    def _hold(self, rest: bytes, needed: int) -> None:
        self._held.append(rest)
        self._held_bytes, self._needed = len(rest), needed

    def _joined(self, data: bytes) -> bytes:
        """Return all that is held when it is worth a look, else nothing."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._needed:
            return b""
        whole = b"".join(self._held)
        self._held.clear()
        return whole
