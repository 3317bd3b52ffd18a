"""The questions, in the SQL that both databases speak; parameters are written as ``?``."""

from collections.abc import Iterable

from webhook_runner.store.cursor import Mark, read_cursor
from webhook_runner.store.row import FINAL
from webhook_runner.store.text import plain
from webhook_runner.task.model import Kind
from webhook_runner.task.record import (
    QueueCount,
    RollbackState,
    TaskQuery,
    TaskRecord,
)
from webhook_runner.task.state import TaskState

COLUMNS = TaskRecord.__struct_fields__
CHANGING = (
    "seq", "queue", "state", "attempt", "due_at", "changed_at", "reason", "started_at",
    "ended_at", "last_status", "last_error", "rollback",
)  # fmt: skip
NEWER = """
wr_task.ended_at IS NULL AND (excluded.ended_at IS NOT NULL OR excluded.seq > wr_task.seq)"""
ON_CONFLICT = (
    f"ON CONFLICT (id, run) DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in CHANGING)} "
    f"WHERE {NEWER}"
)
# A roll-back that was delivered stays so, whatever else is told of it.
ROLLBACK_CONFLICT = """
ON CONFLICT (id, run) DO UPDATE SET state = excluded.state WHERE excluded.state = 'delivered'"""

_ROLLBACK = """
coalesce((SELECT state FROM wr_rollback r WHERE r.id = t.id AND r.run = t.run), rollback)"""
# Of what a list does not carry the bytes may be large.
_BARE = {"source": "NULL", "progress": "NULL", "rollback": _ROLLBACK}
# The partial index of what is not the rule wants to be told that it applies.
_UNUSUAL = "state <> 'succeeded'"
_OPEN = ", ".join(f"'{state}'" for state in TaskState if state not in FINAL)
_BEFORE = "(created_at < ? OR (created_at = ? AND (id > ? OR (id = ? AND run > ?))))"
_YOUNGEST_FIRST = "ORDER BY created_at DESC, id, run"

ATTEMPTS = """
SELECT id, run, seq, attempt, started_at, ended_at, outcome, status, error, detail, headers, body,
  truncated
FROM wr_attempt WHERE id = ? AND run = ? ORDER BY attempt, seq"""
COUNTS = f"""
SELECT queue, state, count(*), min(created_at) FROM wr_task
WHERE {_UNUSUAL} AND state IN ({_OPEN}) GROUP BY queue, state ORDER BY queue, state"""
OVER = "SELECT id, run FROM wr_task WHERE ended_at < ? ORDER BY ended_at, id, run LIMIT ?"
"""Runs to be forgotten."""


def selected(**special: str) -> str:
    """Return the columns of a whole record from ``wr_task t``, some of them by an expression."""
    how = {"rollback": _ROLLBACK, **special}
    return ", ".join(how.get(name, name) for name in COLUMNS)


def find(columns: str) -> tuple[str, str, str]:
    """Return the questions for one run, for the latest, and for the latest of a content."""
    start = f"SELECT {columns} FROM wr_task t WHERE id = ?"
    latest = "ORDER BY run DESC LIMIT 1"
    return f"{start} AND run = ?", f"{start} {latest}", f"{start} AND fingerprint = ? {latest}"


def finished(columns: str) -> str:
    """Return the question for what ended before a time and after a mark: (at, at, id, id, run)."""
    return (
        f"SELECT {columns} FROM wr_task t WHERE ended_at < ? AND ended_at >= ? AND "
        "(ended_at > ? OR id > ? OR (id = ? AND run > ?)) ORDER BY ended_at, id, run LIMIT ?"
    )


def listed(query: TaskQuery) -> tuple[str, list[object]]:
    """Return the statement of a list, of one row more than its page has, and its parameters.

    Raises ValueError for a cursor that is none.
    """
    mark = read_cursor(query.cursor) if query.cursor else None
    most = query.limit + 1
    states = sorted(query.states)
    if not states or TaskState.SUCCEEDED in states:
        wanted = [f"state IN ({_quoted(states)})"] if states else []
        where, parameters = _where(query, mark, wanted)
        return f"{_page(where)} LIMIT ?", [*parameters, most]
    # Each state by itself is read from the index of the unusual ones, in order.
    parts: list[str] = []
    every: list[object] = []
    for state in states:
        where, parameters = _where(query, mark, [f"state = '{state}'", _UNUSUAL])
        parts.append(f"SELECT * FROM ({_page(where)} LIMIT ?) p{len(parts)}")
        every += [*parameters, most]
    return f"{' UNION ALL '.join(parts)} {_YOUNGEST_FIRST} LIMIT ?", [*every, most]


def record_of(row: Iterable[object]) -> TaskRecord:
    """Return the record of a row of all columns."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["state"] = TaskState(str(values["state"]))
    values["kind"] = Kind(str(values["kind"]))
    if values["rollback"] is not None:
        values["rollback"] = RollbackState(str(values["rollback"]))
    return TaskRecord(**values)  # type: ignore[arg-type]


def count_of(row: tuple[str, str, int, float]) -> QueueCount:
    queue, state, count, oldest = row
    return QueueCount(queue, TaskState(state), count, oldest)


def _page(where: str) -> str:
    columns = ", ".join(f"{_BARE.get(name, name)} AS {name}" for name in COLUMNS)
    return f"SELECT {columns} FROM wr_task t {where} {_YOUNGEST_FIRST}"


def _where(query: TaskQuery, mark: Mark | None, wanted: list[str]) -> tuple[str, list[object]]:
    parameters: list[object] = []
    clauses = list(wanted)
    for clause, value in (
        ("queue = ?", plain(query.queue) or None),
        ("created_at >= ?", query.since),
        ("created_at < ?", query.until),
    ):
        if value is not None:
            clauses.append(clause)
            parameters.append(value)
    if mark is not None:
        clauses += ["created_at <= ?", _BEFORE]
        at, name = mark.created_at, plain(mark.id)
        parameters += [at, at, at, name, name, mark.run]
    return f"WHERE {' AND '.join(clauses)}" if clauses else "", parameters


def _quoted(states: Iterable[TaskState]) -> str:
    return ", ".join(f"'{state}'" for state in states)
