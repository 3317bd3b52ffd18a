"""Where log lines go: a stream that may be closed, full or slow, and never stops the daemon."""

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
        """Write one line, given without its line end."""
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
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as the stream takes it now."""
        try:
            while self._pending and self._file is not None and self._poll.poll(0):
                self._write_piece(self._file)
        except (OSError, ValueError):
            self.lost += len(self._pending)
            self._pending.clear()
            self._pending_bytes = 0

    def _write_piece(self, file: io.FileIO) -> None:
        data = self._pending[0]
        written = file.write(data[:_PIECE]) or 0
        self._pending_bytes -= written
        if written == len(data):
            self._pending.popleft()
        else:
            self._pending[0] = data[written:]

    def _write_text(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1
