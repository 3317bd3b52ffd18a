"""The statements that write: a batch as one JSON document, so that it is one statement."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import psycopg
from msgspec import Struct
from psycopg import Connection

from webhook_runner.store.sql import COLUMNS, ON_CONFLICT, ROLLBACK_CONFLICT
from webhook_runner.store.work import DropClaim, KeepClaim, Work
from webhook_runner.task.record import Attempt, RollbackEnded, TaskRecord

REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.NotSupportedError,
    psycopg.errors.CardinalityViolation,
    UnicodeEncodeError,
    OverflowError,
)
"""What PostgreSQL and its driver raise for a value that cannot be stored."""

MOST_BYTES = 16_777_216
"""Of messages in one statement."""

_BYTES = {"fingerprint", "metadata", "source", "progress", "body"}
_TYPES = {
    **dict.fromkeys(("run", "seq", "attempt", "last_status", "max_retries", "status"), "bigint"),
    **dict.fromkeys(
        (
            "created_at",
            "due_at",
            "changed_at",
            "started_at",
            "ended_at",
            "eta",
            "expires",
        ),
        "double precision",
    ),
    "truncated": "boolean",
}


def _insert(part: str, table: str, columns: tuple[str, ...], conflict: str) -> str:
    listed = ", ".join(f"decode({n}, 'base64')" if n in _BYTES else n for n in columns)
    typed = ", ".join(f"{n} {_TYPES.get(n, 'text')}" for n in columns)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {listed} "
        f"FROM json_to_recordset((SELECT d -> '{part}' FROM given)) AS x ({typed}) {conflict}"
    )


_TASKS = _insert("tasks", "wr_task", COLUMNS, ON_CONFLICT)
_ATTEMPTS = _insert(
    "attempts", "wr_attempt", Attempt.__struct_fields__, "ON CONFLICT (id, run, seq) DO NOTHING"
)
_ROLLBACKS = _insert("rollbacks", "wr_rollback", RollbackEnded.__struct_fields__, ROLLBACK_CONFLICT)
_GIVEN = "WITH given AS MATERIALIZED (SELECT %s::json AS d)"
_BATCH = f"{_GIVEN}, attempts AS ({_ATTEMPTS}), rollbacks AS ({_ROLLBACKS}) {_TASKS}"
_ADVANCE = f"{_GIVEN} {_TASKS} RETURNING id, run"
_CLAIMS = "json_to_recordset(%s::json) AS x (key text, run bigint)"
_OF_CLAIM = "WHERE c.key = x.key AND c.run = x.run"
_KEEP = f"UPDATE wr_claim c SET kept = true FROM {_CLAIMS} {_OF_CLAIM}"
_DROP = f"DELETE FROM wr_claim c USING {_CLAIMS} {_OF_CLAIM} AND NOT kept"
_HEADERS = msgspec.json.Decoder(dict[str, str])


class _Made(Struct):
    """An attempt as a row, whose header fields are text."""

    id: str
    run: int
    seq: int
    attempt: int
    started_at: float
    ended_at: float
    outcome: str
    status: int | None
    error: str
    detail: str
    headers: str
    body: bytes
    truncated: bool


def put(connection: Connection, work: Work) -> None:
    """Write what was noted. Raises psycopg.Error, and what Python says of an impossible value.

    Each statement is a transaction: two daemons that wait for each other's rows wait in one order.
    """
    attempts = [_made(each) for each in work.attempts]
    rollbacks = work.rollbacks
    for rows in _portions(work.rows):
        given = {"tasks": rows, "attempts": attempts, "rollbacks": rollbacks}
        if rows or attempts or rollbacks:
            connection.execute(_BATCH, (msgspec.json.encode(given).decode(),))
        attempts, rollbacks = [], []
    for statement, kind in ((_KEEP, KeepClaim), (_DROP, DropClaim)):
        if claims := [each for each in work.claims if isinstance(each, kind)]:
            connection.execute(statement, (msgspec.json.encode(claims).decode(),))


def advance(connection: Connection, rows: list[TaskRecord]) -> set[tuple[str, int]]:
    """Write rows, each of a run of its own, and return which of them were changes."""
    given = msgspec.json.encode({"tasks": rows}).decode()
    return set(connection.execute(_ADVANCE, (given,)).fetchall())


def put_singly(connection: Connection, work: Work) -> tuple[str, ...]:
    """Write what can be written, each by itself; return what is refused, and why."""
    refused = []
    for single in work.singles():
        try:
            put(connection, single)
        except REFUSED as error:
            refused.append(f"the store does not take an entry of {single.name()}: {error}")
    return tuple(refused)


def attempt_of(row: tuple[Any, ...]) -> Attempt:
    values = list(row)
    values[-3] = _HEADERS.decode(values[-3])
    return Attempt(*values)


def _portions(rows: list[TaskRecord]) -> Iterator[list[TaskRecord]]:
    portion: list[TaskRecord] = []
    size = 0
    for row in rows:
        portion.append(row)
        size += len(row.source or b"")
        if size > MOST_BYTES:
            yield portion
            portion, size = [], 0
    yield portion


def _made(attempt: Attempt) -> _Made:
    headers: Mapping[str, str] = attempt.headers
    return _Made(
        attempt.id,
        attempt.run,
        attempt.seq,
        attempt.attempt,
        attempt.started_at,
        attempt.ended_at,
        attempt.outcome,
        attempt.status,
        attempt.error,
        attempt.detail,
        msgspec.json.encode(headers).decode() if headers else "{}",
        attempt.body,
        attempt.truncated,
    )
