"""What a database is like, looked at without a trace."""

import psycopg

from webhook_runner.store.migrate import migrations
from webhook_runner.store.postgresql.place import ROOM, check, connect, name_of
from webhook_runner.store.sighting import Sighting


def look(url: str) -> Sighting:
    """Look into the database. Raises StoreError when it is of a newer version, or no address."""
    known = migrations(ROOM)[-1].number
    place = name_of(url)
    try:
        with connect(url) as connection:
            version = check(connection, place)
    except psycopg.Error as error:
        return Sighting(known=known, problem=" ".join(str(error).split()))
    return Sighting(exists=version > 0, version=version, known=known)
