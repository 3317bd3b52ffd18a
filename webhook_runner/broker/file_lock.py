"""Who may write a file: one process, named by its pid in a lock file beside it."""

import fcntl
from contextlib import suppress
from multiprocessing import current_process
from pathlib import Path
from typing import IO, Self

from webhook_runner.errors import QueueFileError

TAKEN = 4
"""Exit code when another process has the file."""


class FileLock:
    """An exclusive flock, which the kernel takes back from a process that ends."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take the lock without waiting.

        Raises:
            QueueFileError: another process has it, or the lock file cannot be made.

        """
        try:
            file = path.open("a+")
        except OSError as error:
            raise QueueFileError(f"{path}: cannot be made: {error.strerror}", 74) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise QueueFileError(
                f"{path}: the process {holder} has this queue; one daemon owns a queue file: "
                "stop that one, or name another file",
                TAKEN,
            ) from None
        except OSError as error:
            file.close()
            raise QueueFileError(f"{path}: cannot be locked: {error.strerror}", 74) from error
        lock = cls(file)
        lock._sign()
        return lock

    def give_back(self) -> None:
        self._file.close()

    def _sign(self) -> None:
        # The lock holds without the name too, as on a full disk.
        with suppress(OSError):
            self._file.truncate(0)
            self._file.write(f"{current_process().pid}\n")
            self._file.flush()
