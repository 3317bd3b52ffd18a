"""Who may write a file: one process, named by its pid in a lock file beside it."""

import fcntl
from contextlib import suppress
from multiprocessing import current_process
from pathlib import Path
from typing import IO, Self

from webhook_runner.broker.queue_trouble import UNUSABLE
from webhook_runner.errors import QueueFileError

TAKEN = 4
"""Exit code when another process has the file."""


class FileLock:
    """An exclusive flock, which the kernel takes back from a process that ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take the lock file ``path`` without waiting.

        Raises:
            QueueFileError: another process has it, or the lock file cannot be made.

        """
        try:
            path.touch(0o600)
            file = path.open("r+b", buffering=0)
        except OSError as error:
            raise QueueFileError(f"{path}: cannot be made: {error.strerror}", UNUSABLE) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read(20).decode(errors="replace").strip() or "unknown"
            file.close()
            raise QueueFileError(
                f"{path}: the process {holder} has this queue; one daemon owns a queue file: "
                "stop that one, or name another file",
                TAKEN,
            ) from None
        except OSError as error:
            file.close()
            why = f"{path}: cannot be locked: {error.strerror}"
            raise QueueFileError(why, UNUSABLE) from error
        lock = cls(file)
        lock._sign()
        return lock

    def give_back(self) -> None:
        self._file.close()

    def _sign(self) -> None:
        # The lock holds without the name too, as on a full disk.
        with suppress(OSError):
            name = b"%d\n" % (current_process().pid or 0)
            self._file.write(name)
            self._file.truncate(len(name))
