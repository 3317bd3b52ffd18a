"""Where queue file and state file lie: without a configuration file, and whether they can."""

import errno
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from webhook_runner.config.place import Finding
from webhook_runner.config.source import system_words
from webhook_runner.errors import ConfigError
from webhook_runner.settings import MEMORY, Settings

NAME = "queue.db"
NO_PLACE = (
    "no configuration file, and neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set: there is"
    " no place for the queue file; name it: WEBHOOK_RUNNER_SERVER=embedded:/path/queue.db"
)
_STORE = ("store", "url")
_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """A directory of the daemon's own, which it makes itself.

    Attributes:
        path: the directory.
        root: what must be there already; all below it is made, for the owner alone.

    """

    path: Path
    root: Path

    def make(self) -> None:
        """Make what is missing of it, with mode 0700. Raises ConfigError."""
        try:
            missing = [each for each in self._levels() if not each.is_dir()]
            for each in reversed(missing):
                each.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be made: {error.strerror}") from error

    def nearest(self) -> Path:
        """Return the deepest directory on the way that is there, or the root."""
        return next((each for each in self._levels() if each.exists()), self.root)

    def _levels(self) -> Iterator[Path]:
        for each in (self.path, *self.path.parents):
            if each == self.root:
                return
            yield each


def state_directory(environ: Mapping[str, str]) -> StateDirectory | None:
    """Return where state is kept without a configuration: systemd's place, else the user's.

    The rules of XDG_STATE_HOME are those of the XDG Base Directory Specification: a relative
    path there is ignored. None when no variable names a place.
    """
    of_systemd = Path(environ.get("STATE_DIRECTORY", "").partition(":")[0])
    if of_systemd.is_absolute():
        return StateDirectory(of_systemd, of_systemd.parent)
    chosen = Path(environ.get("XDG_STATE_HOME", ""))
    if chosen.is_absolute():
        return StateDirectory(chosen / "webhook-runner", chosen.parent)
    home = Path(environ.get("HOME", ""))
    if home.is_absolute():
        return StateDirectory(home / ".local/state/webhook-runner", home)
    return None


def unusable_place(settings: Settings, state: StateDirectory | None) -> Iterator[Finding]:
    """Yield why a file cannot lie where it should, as far as its directory can tell.

    The file itself is never opened here: closing it would take away the locks that SQLite holds
    on it in this process (https://sqlite.org/howtocorrupt.html, 2.2). ``state`` is the directory
    when the daemon makes it.
    """
    told: dict[Path, Finding] = {}
    for place, name in ((("server",), settings.queue_file), (_STORE, settings.state_file)):
        file = Path(name)
        if name in {"", MEMORY} or file.parent in told:
            continue
        made = state if state and file.parent == state.path else None
        if problem := _problem(file, made.nearest() if made else file.parent):
            told[file.parent] = Finding(place, problem)
    yield from told.values()


def _problem(file: Path, directory: Path) -> str:
    try:
        if file.is_dir():
            return f"{file} is a directory; name a file in it"
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except FileNotFoundError:
        return (
            f"{directory}: no such directory; make it for the user that runs the daemon:"
            f" install -d -m 0700 {directory}"
        )
    except NotADirectoryError:
        return f"{directory} is no directory"
    except OSError as error:
        # A disk that is full or read-only now may be mended before a restart: the daemon tells.
        if error.errno not in _UNWRITABLE:
            return ""
        return f"{directory} cannot be written to: {_words(error)}"


def _words(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; it must belong to the user that runs the daemon"
    return system_words(error)
