"""An address becomes a store: the one place that names the databases."""

import importlib

from webhook_runner.errors import StoreError
from webhook_runner.ports import Clock, Observer, Store
from webhook_runner.settings import StoreSettings
from webhook_runner.store.database import Database
from webhook_runner.store.nothing import NoStore
from webhook_runner.store.record_store import RecordStore
from webhook_runner.store.sqlite.state_file import StateFile

NONE = "none"
SQLITE = "sqlite:"
_MISSING = 2


def make_store(url: str, settings: StoreSettings, clock: Clock, observer: Observer) -> Store:
    """Return the store of an address: sqlite:PATH, sqlite::memory:, postgresql://... or none.

    Raises:
        StoreError: the package for PostgreSQL is not installed.

    """
    if url == NONE:
        return NoStore()
    return RecordStore(_database(url), settings, clock, observer)


def _database(url: str) -> Database:
    if url.startswith(SQLITE):
        return StateFile(url.removeprefix(SQLITE))
    try:
        room = importlib.import_module("webhook_runner.store.postgresql.server")
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL needs a package more: pip install 'webhook-runner[postgresql]' ({error})",
            _MISSING,
        ) from error
    database: Database = room.Server(url)
    return database
