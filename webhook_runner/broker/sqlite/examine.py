"""What a queue file is like, looked at without a trace: for `doctor`."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from webhook_runner.broker.sqlite.queue_place import real_path
from webhook_runner.broker.sqlite.queue_schema import inspect
from webhook_runner.broker.sqlite.queue_trouble import explained
from webhook_runner.errors import QueueFileError
from webhook_runner.owner_lock import owner_of

_DEPTHS = """
SELECT (SELECT count(*) FROM ready) + (SELECT count(*) FROM unacked),
       (SELECT count(*) FROM dead), (SELECT count(*) FROM invalid)"""


@dataclass(frozen=True, slots=True)
class Examined:
    """What could be seen.

    Attributes:
        free_bytes: room on its disk.
        exists: there is such a file.
        owner: the process that has it; "" for none.
        problem: why it cannot be used, or "".
        unchecked: why its content was not looked at, or "".
        waiting, dead, invalid: how many messages; 0 when not looked at.

    """

    free_bytes: int
    exists: bool = False
    owner: str = ""
    problem: str = ""
    unchecked: str = ""
    waiting: int = 0
    dead: int = 0
    invalid: int = 0


def examine(path: str) -> Examined:
    """Look at the queue file ``path``; its whole content if no daemon has it. May take long."""
    try:
        free = shutil.disk_usage(next(each for each in Path(path).parents if each.is_dir())).free
        if not Path(path).exists():
            return Examined(free)
        file = real_path(path)
        if owner := owner_of(file):
            return Examined(free, exists=True, owner=owner, unchecked="a daemon has it")
        inspect(file)
        return _content(file, free)
    except QueueFileError as error:
        return Examined(0, exists=True, problem=str(error).removeprefix(f"queue file {path}: "))
    except OSError as error:
        why = f"{error.strerror}; ask as the user that runs the daemon"
        return Examined(0, exists=True, unchecked=why)
    except sqlite3.Error as error:
        return Examined(0, exists=True, problem=explained(error))


def _content(file: Path, free: int) -> Examined:
    wal = file.with_name(f"{file.name}-wal")
    if wal.exists() and wal.stat().st_size:
        why = f"its last daemon did not close it: {wal.name} is read in at the next start"
        return Examined(free, exists=True, unchecked=why)
    # Immutable: SQLite would make files beside it, which the daemon's user might not own.
    place = f"file:{quote(str(file))}?immutable=1"
    with closing(sqlite3.connect(place, uri=True)) as database:
        (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            return Examined(free, exists=True, problem=f"it is damaged: {said}")
        waiting, dead, invalid = database.execute(_DEPTHS).fetchone()
    return Examined(free, exists=True, waiting=waiting, dead=dead, invalid=invalid)
