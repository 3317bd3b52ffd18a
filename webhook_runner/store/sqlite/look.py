"""What a state file is like, looked at without a trace."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from webhook_runner.owner_lock import owner_of
from webhook_runner.store.migrate import migrations, pending
from webhook_runner.store.sighting import Sighting
from webhook_runner.store.sqlite.place import APPLICATION, ROOM
from webhook_runner.store.sqlite.trouble import explained


def look(path: str) -> Sighting:
    """Look into the file if no daemon has it. Raises StoreError when it is of a newer version."""
    known = migrations(ROOM)[-1].number
    try:
        file = Path(path).resolve()
        if not file.exists():
            return Sighting(known=known)
        if owner := owner_of(file):
            return Sighting(exists=True, owner=owner, known=known)
        return _content(file, known)
    except OSError as error:
        why = f"{error.strerror}; ask as the user that runs the daemon"
        return Sighting(exists=True, known=known, unchecked=why)
    except sqlite3.Error as error:
        return Sighting(exists=True, known=known, problem=explained(error))


def _content(file: Path, known: int) -> Sighting:
    wal = file.with_name(f"{file.name}-wal")
    if wal.exists() and wal.stat().st_size:
        why = f"its last daemon did not close it: {wal.name} is read in at the next start"
        return Sighting(exists=True, known=known, unchecked=why)
    # Immutable: SQLite would make files beside it, which the daemon's user might not own.
    place = f"file:{quote(str(file))}?immutable=1"
    with closing(sqlite3.connect(place, uri=True)) as database:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION:
            why = "it is a database of another program; name another file"
            return Sighting(exists=True, known=known, problem=why)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        pending(migrations(ROOM), version, f"sqlite:{file}")
        (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    problem = "" if said == "ok" else f"it is damaged: {said}"
    return Sighting(exists=bool(tables), known=known, version=version, problem=problem)
