"""Connections to a PostgreSQL database, its name without secrets, and its tables."""

import psycopg
from psycopg import Connection, IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from webhook_runner.errors import StoreError
from webhook_runner.store.database import UNUSABLE
from webhook_runner.store.migrate import migrations, pending

ROOM = "webhook_runner.store.postgresql"
STATEMENT_SECONDS = 30
# Not to_regclass(), which goes on not finding what another session made during a transaction.
_FIND_TABLE = """
SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'wr_schema' AND pg_table_is_visible(oid)"""
_LOCK = 0x7772_7331
_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""What libpq is told unless the address says otherwise: a machine that is gone is noticed."""


def name_of(url: str) -> str:
    """Name the database for people, without user and password. Raises StoreError."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        text = "store: `[store] url` is no address of a PostgreSQL database"
        raise StoreError(text, UNUSABLE) from error
    return f"postgresql://{parts.get('host') or 'localhost'}/{parts.get('dbname') or ''}"


def connect(url: str) -> Connection:
    """Connect, each statement a transaction. Raises psycopg.Error."""
    given = conninfo_to_dict(url)
    patience = {name: value for name, value in _PATIENCE.items() if name not in given}
    connection = psycopg.connect(
        make_conninfo(url, **patience),
        autocommit=True,
        # Poolers that share connections between clients know nothing of prepared statements.
        prepare_threshold=None,
        client_encoding="utf8",
        application_name=given.get("application_name") or "webhook-runner",
    )
    try:
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    except BaseException:
        connection.close()
        raise
    return connection


def check(connection: Connection, place: str) -> None:
    """See that this version may read it. Raises psycopg.Error and StoreError."""
    pending(migrations(ROOM), version_of(connection), place)


def prepare(connection: Connection, place: str) -> None:
    """Take the steps that the tables need, each whole or not at all.

    Raises psycopg.Error and StoreError.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(
            f"store {place}: its encoding is {encoding}; create it with ENCODING 'UTF8'", UNUSABLE
        )
    steps = migrations(ROOM)
    while pending(steps, version_of(connection), place):
        with connection.transaction():
            # Of daemons that start together one makes the tables, and the others find them.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for step in pending(steps, version_of(connection), place)[:1]:
                connection.execute("CREATE TABLE IF NOT EXISTS wr_schema (version integer)")
                connection.execute(step.sql)
                connection.execute("DELETE FROM wr_schema")
                connection.execute("INSERT INTO wr_schema VALUES (%s)", (step.number,))


def version_of(connection: Connection) -> int:
    """Return the number of the last step that was taken, 0 for none. Raises psycopg.Error."""
    if not connection.execute(_FIND_TABLE).fetchone():
        return 0
    version = connection.execute("SELECT max(version) FROM wr_schema").fetchone()
    return int(version[0] or 0) if version else 0
