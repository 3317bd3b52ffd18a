"""The statements that write: a batch as one JSON document, so that it is one statement."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import psycopg
from msgspec import Struct
from psycopg import Connection

from webhook_runner.store.sql import COLUMNS, ON_CONFLICT, ROLLBACK_CONFLICT
from webhook_runner.store.work import Answer, KeepClaim, Work, Written, cleaned
from webhook_runner.task.record import Attempt, Claim, Holder, RollbackEnded, TaskRecord

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

_CLAIM_TRIES = 5
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
_ADVANCE = f"{_GIVEN} {_TASKS}"
_KEEP = "UPDATE wr_claim SET kept = true WHERE key = %s AND run = %s"
_DROP = "DELETE FROM wr_claim WHERE key = %s AND run = %s AND NOT kept"
_CLAIM = """
INSERT INTO wr_claim AS c VALUES (%s, %s, %s, %s, %s, false) ON CONFLICT (key) DO UPDATE
SET id = excluded.id, run = excluded.run, fingerprint = excluded.fingerprint,
  until = excluded.until, kept = false
WHERE c.until <= %s"""
_HOLDER = "SELECT id, run, fingerprint, kept FROM wr_claim WHERE key = %s"
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
    for each in work.claims:
        connection.execute(_KEEP if isinstance(each, KeepClaim) else _DROP, (each.key, each.run))


def answer(connection: Connection, ask: TaskRecord | Claim) -> Answer:
    """Write one thing and say what came of it; ValueError for what cannot be stored."""
    try:
        ask = cleaned(ask)
        if isinstance(ask, Claim):
            return _claim(connection, ask)
        given = msgspec.json.encode({"tasks": [ask]}).decode()
        return connection.execute(_ADVANCE, (given,)).rowcount > 0
    except REFUSED as error:
        return ValueError(f"the store does not take it: {error}")


def singly(connection: Connection, work: Work) -> Written:
    """Write what can be written, each by itself."""
    refused = []
    for single in work.singles():
        try:
            put(connection, single)
        except REFUSED as error:
            refused.append(f"the store does not take an entry of {single.name()}: {error}")
    return Written([answer(connection, ask) for ask in work.asks], tuple(refused))


def attempt_of(row: tuple[Any, ...]) -> Attempt:
    values = list(row)
    values[-3] = _HEADERS.decode(values[-3])
    return Attempt(*values)


def _claim(connection: Connection, ask: Claim) -> Holder:
    values = (ask.key, ask.id, ask.run, ask.fingerprint, ask.until, ask.at)
    for _ in range(_CLAIM_TRIES):
        is_new = connection.execute(_CLAIM, values).rowcount > 0
        if is_new:
            return Holder(ask.id, ask.run, ask.fingerprint, is_new=True, kept=False)
        # Who has it may give it back between the two statements.
        if found := connection.execute(_HOLDER, (ask.key,)).fetchone():
            name, run, fingerprint, kept = found
            return Holder(name, run, fingerprint, is_new=False, kept=kept)
    raise psycopg.OperationalError(f"the claim of {ask.key} was made and given back too often")


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
