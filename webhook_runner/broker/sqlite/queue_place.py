"""Where the queue file lies: its one real path, its mode, and whether it is still there."""

from contextlib import suppress
from pathlib import Path

from webhook_runner.broker.sqlite.queue_trouble import refusal

_OWN = 0o600
"""Tasks hold secrets. SQLite gives its -wal and -shm files the mode of the file."""


def real_path(path: str) -> Path:
    """Return the one path of all the ways to write it, through symbolic links.

    Raises QueueFileError.
    """
    try:
        real = Path(path).resolve()
        is_there, is_folder, has_folder = real.exists(), real.is_dir(), real.parent.is_dir()
    except (OSError, RuntimeError) as error:
        raise refusal(path, f"{getattr(error, 'strerror', error)}; name another file") from error
    if is_folder:
        raise refusal(real, "it is a directory; name a file in it")
    if not (is_there or has_folder):
        raise refusal(real, f"there is no directory {real.parent}; make it, or name another file")
    return real


def settle_in(real: Path) -> None:
    """Make the file, for its owner alone, or see that it has one name.

    Raises:
        QueueFileError: it has several; the -wal file goes by one of them.
        OSError: it cannot be made.

    """
    with suppress(FileExistsError):
        real.touch(_OWN, exist_ok=False)
    if (names := real.stat().st_nlink) > 1:
        raise refusal(
            real,
            f"it has {names} names (hard links), and its -wal file goes by one of them, as does "
            "the daemon that may have it; remove the others",
        )


class Place:
    """The files that belong together, as they were when this was made.

    SQLite goes on writing to files that were removed; what it writes then is gone at its end:
    https://www.sqlite.org/howtocorrupt.html#unlinking_or_renaming_a_database_file_while_in_use
    """

    def __init__(self, path: Path) -> None:
        files = [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm", ".lock")]
        self._path = path
        self._known = {file: _identity(file) for file in files}

    def lost(self) -> str:
        """Say which file is not there any more, or return an empty string."""
        for file, known in self._known.items():
            if not _is_still(file, known):
                return f"{file.name} was removed or replaced while it was in use"
        return ""

    def is_there(self) -> bool:
        """Whether the database file itself is still there."""
        return _is_still(self._path, self._known[self._path])


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def _is_still(file: Path, known: tuple[int, int]) -> bool:
    try:
        return _identity(file) == known
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # a disk that does not answer has lost nothing yet
