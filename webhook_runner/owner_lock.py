"""Who may write a file: one process, named by its pid in a lock file beside it."""

import fcntl
from contextlib import suppress
from multiprocessing import current_process
from pathlib import Path
from typing import IO, Self

_LOCKS = Path("/proc/locks")


class TakenError(Exception):
    """Another process has the file; its text is that one's pid, or "" when it is not known."""


class UnlockableError(Exception):
    """The file cannot be locked; says why."""


class OwnerLock:
    """An exclusive flock on FILE.lock, which the kernel takes back from a process that ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take the lock of the file ``path`` without waiting.

        Raises:
            TakenError: another process has it.
            UnlockableError: the lock file cannot be made, or not be locked.

        """
        try:
            file = _opened(Path(f"{path}.lock"))
        except OSError as error:
            why = f"its lock file {path.name}.lock cannot be made: {error.strerror}"
            raise UnlockableError(why) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = file.read(20).decode(errors="replace").strip()
            file.close()
            raise TakenError(pid) from None
        except OSError as error:
            file.close()
            raise UnlockableError(f"it cannot be locked: {error.strerror}") from error
        lock = cls(file)
        lock._sign()
        return lock

    def give_back(self) -> None:
        self._file.close()

    def _sign(self) -> None:
        # The lock holds without the name too, as on a full disk.
        with suppress(OSError):
            self._file.write(b"%-20d" % (current_process().pid or 0))


def owner_of(path: Path) -> str:
    """Return the pid of the process that has a file, by the kernel's list (proc(5)); "" for none.

    To try the lock would be to keep a daemon out that starts just then. Raises OSError.
    """
    lock = path.with_name(f"{path.name}.lock")
    if not lock.exists() or not _LOCKS.exists():
        return ""
    inode = str(lock.stat().st_ino)
    for line in _LOCKS.read_text().splitlines():
        words = line.split()
        if "FLOCK" in words and words[-3].rpartition(":")[2] == inode:
            return words[-4]
    return ""


def _opened(path: Path) -> IO[bytes]:
    path.touch(0o600)
    return path.open("r+b", buffering=0)
