"""What a PostgreSQL database is like, read and not written."""

import psycopg

from webhook_runner.store.migrate import migrations
from webhook_runner.store.postgresql.place import ROOM, check, connect, name_of, version_of
from webhook_runner.store.sighting import Sighting


def look(url: str) -> Sighting:
    """Connect and read the version of the tables.

    Raises:
        StoreError: it is no address, or its tables are of a newer version.

    """
    place, known = name_of(url), migrations(ROOM)[-1].number
    try:
        with connect(url) as connection:
            connection.read_only = True
            check(connection, place)
            version = version_of(connection)
    except psycopg.Error as error:
        said = " ".join(str(error).split()) or type(error).__name__
        return Sighting(known=known, problem=f"it does not answer: {said}")
    return Sighting(exists=version > 0, version=version, known=known)
