"""Where log lines go: a stream that may be closed, full or slow, and never stops the daemon."""

import asyncio
import io
import select
from collections import deque
from typing import TextIO

# A pipe that polls as writable takes this much without blocking (POSIX PIPE_BUF on Linux).
_PIECE = 4096
_MOST_PENDING = 1 << 18


class Sink:
    """Writes lines to a stream without ever raising, and without blocking on a full pipe.

    Lines that do not fit wait, up to 256 KiB, for the next line or ``flush``. ``lost`` counts
    lines that could not be kept or written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._file: io.FileIO | None = None
        self._is_due = False
        self.lost = 0
        try:
            self._file = io.FileIO(stream.fileno(), "wb", closefd=False)
            self._poll = select.poll()
            self._poll.register(self._file, select.POLLOUT)
        except (AttributeError, OSError, ValueError):
            self._file = None

    @property
    def is_terminal(self) -> bool:
        try:
            return self._stream.isatty()
        except ValueError:
            return False

    def write(self, line: str) -> None:
        """Take one line, given without its line end; within an event loop, for its next turn."""
        if self._file is None:
            self._write_text(f"{line}\n")
            return
        data = f"{line}\n".encode(errors="backslashreplace")
        if self._pending_bytes + len(data) > _MOST_PENDING:
            self.flush()
        if self._pending_bytes + len(data) > _MOST_PENDING:
            self.lost += 1
            return
        self._pending.append(data)
        self._pending_bytes += len(data)
        if not self._is_due:
            self._flush_soon()

    def flush(self) -> None:
        """Write what waits, as far as the stream takes it now."""
        self._is_due = False
        try:
            while self._pending and self._file is not None and self._poll.poll(0):
                self._write_piece(self._file)
        except (OSError, ValueError):
            self.lost += len(self._pending)
            self._pending.clear()
            self._pending_bytes = 0

    def _flush_soon(self) -> None:
        """Let all lines of one turn of the event loop go in one write."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._is_due = True
            loop.call_soon(self.flush)

    def _write_piece(self, file: io.FileIO) -> None:
        lines = [self._pending.popleft()]
        size = len(lines[0])
        while self._pending and size + len(self._pending[0]) <= _PIECE:
            lines.append(self._pending.popleft())
            size += len(lines[-1])
        data = b"".join(lines)
        try:
            written = file.write(data[:_PIECE]) or 0
        except BaseException:
            self._pending.extendleft(reversed(lines))
            raise
        self._pending_bytes -= written
        if written < size:
            self._pending.appendleft(data[written:])

    def _write_text(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1
