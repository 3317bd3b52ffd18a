"""The lock of a queue file, and what is said to the daemon that comes second."""

from pathlib import Path
from typing import Self

from webhook_runner.broker.sqlite.queue_trouble import refusal
from webhook_runner.errors import QueueFileError
from webhook_runner.owner_lock import OwnerLock, TakenError, UnlockableError

TAKEN = 4
"""Exit code when another process has the file."""


class FileLock(OwnerLock):
    @classmethod
    def take(cls, path: Path) -> Self:
        """Take the lock of the queue file ``path`` without waiting.

        Raises:
            QueueFileError: another process has it, or the lock file cannot be made.

        """
        try:
            return super().take(path)
        except TakenError as error:
            raise QueueFileError(
                f"queue file {path}: process {str(error) or '(unknown)'} has it; one daemon owns "
                "a queue file: stop that one, or name another file",
                TAKEN,
            ) from None
        except UnlockableError as error:
            raise refusal(path, str(error)) from error
