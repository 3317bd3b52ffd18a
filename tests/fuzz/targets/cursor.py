"""The cursor of a list: a mark that any database takes, or the word that it is none."""

import sqlite3

from webhook_runner.store.cursor import read_cursor
from webhook_runner.store.sql import listed
from webhook_runner.task.record import TaskQuery

LARGEST = 2**63 - 1


def check(data: bytes) -> None:
    cursor = data.decode("latin-1")
    try:
        mark = read_cursor(cursor)
    except ValueError:
        return
    assert 0 < mark.run <= LARGEST
    _, parameters = listed(TaskQuery(cursor=cursor))
    with sqlite3.connect(":memory:") as base:
        base.execute(f"SELECT {', '.join('?' * len(parameters))}", parameters)
    base.close()
    assert not any("\0" in each for each in parameters if isinstance(each, str))
