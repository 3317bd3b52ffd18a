"""The store in a PostgreSQL database, which several daemons may share."""

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import Connection

from webhook_runner.errors import StoreError
from webhook_runner.store.cursor import cursor_after
from webhook_runner.store.database import UNUSABLE, TroubleError
from webhook_runner.store.postgresql.asking import answers
from webhook_runner.store.postgresql.place import check, connect, name_of, prepare
from webhook_runner.store.postgresql.writing import REFUSED, attempt_of, put, put_singly
from webhook_runner.store.sql import (
    ATTEMPTS,
    COUNTS,
    count_of,
    find,
    finished,
    listed,
    record_of,
    selected,
)
from webhook_runner.store.work import Work, Written
from webhook_runner.task.record import Attempt, QueueCount, TaskPage, TaskQuery, TaskRecord

_FIND_RUN, _FIND_LATEST, _FIND_CONTENT = find(selected())
_FINISHED = finished(selected())
_OF_RUN = "USING over o WHERE x.id = o.id AND x.run = o.run"
# What another daemon sweeps is left to it.
_SWEEP = f"""
WITH over AS (
  SELECT id, run FROM wr_task WHERE ended_at < %s ORDER BY ended_at, id, run LIMIT %s
  FOR UPDATE SKIP LOCKED),
a AS (DELETE FROM wr_attempt x {_OF_RUN}), r AS (DELETE FROM wr_rollback x {_OF_RUN})
DELETE FROM wr_task x {_OF_RUN}"""
_CLAIMS_OVER = """
DELETE FROM wr_claim WHERE key IN (
  SELECT key FROM wr_claim WHERE until <= %s LIMIT %s FOR UPDATE SKIP LOCKED)"""
_DEADLOCKS = 3


class _LostError(TroubleError):
    """The connection was lost, maybe long ago while nobody used it."""


class Server:
    """See `webhook_runner.store.database.Database`. A connection is made anew after trouble."""

    kind = "postgresql"
    threaded = True
    longest_wait = 5.0

    def __init__(self, url: str) -> None:
        """Raise StoreError when it is no address."""
        self._url = url
        self._place = name_of(url)
        self._connection: Connection | None = None
        self._readers: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._hung_up = False

    def open(self) -> None:
        try:
            with self._writing() as connection:
                prepare(connection, self._place)
        except TroubleError as trouble:
            if isinstance(trouble.__cause__, psycopg.errors.InsufficientPrivilege):
                text = f"{trouble}; let its role create tables, or set a search_path where it may"
                raise StoreError(text, UNUSABLE) from trouble
            raise

    def write(self, work: Work) -> Written:
        is_new, self._hung_up = self._connection is None, False
        try:
            return self._write(work)
        except _LostError:
            # Of what has an answer nobody can know whether it was done before the loss.
            if is_new or work.asks or self._hung_up:
                raise
            return self._write(work)

    def _write(self, work: Work) -> Written:
        with self._writing() as connection:
            try:
                _put_through_deadlocks(connection, work)
                refused: tuple[str, ...] = ()
            except REFUSED:
                refused = put_singly(connection, work)
            return Written(answers(connection, work.asks) if work.asks else [], refused)

    def probe(self) -> None:
        with self._writing() as connection, connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO wr_rollback VALUES ('', 0, '')")

    def sweep(self, ended_before: float, now: float, most: int) -> int:
        with self._writing() as connection:
            connection.execute(_CLAIMS_OVER, (now, most))
            return connection.execute(_SWEEP, (ended_before, most)).rowcount

    def find(self, task_id: str, run: int | None) -> TaskRecord | None:
        if run is None:
            rows = self._ask(_FIND_LATEST, (task_id,))
        else:
            rows = self._ask(_FIND_RUN, (task_id, run))
        return record_of(rows[0]) if rows else None

    def latest(self, task_id: str, fingerprint: bytes) -> TaskRecord | None:
        rows = self._ask(_FIND_CONTENT, (task_id, fingerprint))
        return record_of(rows[0]) if rows else None

    def attempts(self, task_id: str, run: int) -> list[Attempt]:
        return [attempt_of(row) for row in self._ask(ATTEMPTS, (task_id, run))]

    def tasks(self, query: TaskQuery) -> TaskPage:
        found = [record_of(row) for row in self._ask(*listed(query))]
        page = tuple(found[: query.limit])
        return TaskPage(page, cursor_after(page[-1]) if len(found) > len(page) else "")

    def counts(self) -> list[QueueCount]:
        return [count_of(row) for row in self._ask(COUNTS, ())]

    def finished(self, before: float, after: TaskRecord | None, most: int) -> list[TaskRecord]:
        at, name, run = (after.ended_at or 0, after.id, after.run) if after else (0, "", 0)
        rows = self._ask(_FINISHED, (before, at, at, name, name, run, most))
        return [record_of(row) for row in rows]

    def hang_up(self) -> None:
        """End what is under way, from any thread."""
        self._hung_up = True
        for connection in tuple(self._busy):
            with suppress(OSError, psycopg.Error):
                line = socket.socket(fileno=socket.dup(connection.fileno()))
                with line:
                    line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._drop_readers()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _drop_readers(self) -> None:
        with suppress(IndexError):
            while True:
                self._readers.pop().close()

    def _ask(self, question: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        statement = question.replace("?", "%s")
        is_new = not self._readers
        try:
            return self._answer(statement, parameters)
        except _LostError:
            if is_new or self._hung_up:
                raise
            self._drop_readers()
            return self._answer(statement, parameters)

    def _answer(self, statement: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._reading() as connection:
            return connection.execute(statement, parameters).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._translating():
            if self._connection is None or self._connection.closed:
                self._connection = connect(self._url)
            with self._using(self._connection):
                yield self._connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translating():
            try:
                connection = self._readers.pop()
            except IndexError:
                connection = connect(self._url)
                check(connection, self._place)
            with self._using(connection):
                yield connection
            self._readers.append(connection)

    @contextmanager
    def _using(self, connection: Connection) -> Iterator[None]:
        """Close it when anything goes wrong: the next one may meet another server."""
        self._busy.add(connection)
        try:
            yield
        except psycopg.Error as error:
            if connection.closed:
                raise _LostError(self._said(error)) from error
            connection.close()
            raise
        except BaseException:
            connection.close()
            raise
        finally:
            self._busy.discard(connection)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise TroubleError(self._said(error)) from error

    def _said(self, error: psycopg.Error) -> str:
        return f"store {self._place}: {' '.join(str(error).split()) or type(error).__name__}"


def _put_through_deadlocks(connection: Connection, work: Work) -> None:
    for _ in range(_DEADLOCKS):
        with suppress(psycopg.errors.DeadlockDetected):
            put(connection, work)
            return
    put(connection, work)
