"""`status`, `attempts`, `tasks list`: how tasks are."""

import json
from datetime import datetime
from typing import Annotated

import typer

from webhook_runner.cli.call import Call, add, asks, group, single
from webhook_runner.cli.complete import queue_names
from webhook_runner.cli.daemon import daemon
from webhook_runner.cli.option import UtcOption, since
from webhook_runner.cli.shown import moment, note_limit, show_json, show_pairs, show_table
from webhook_runner.client import AttemptInfo, TaskStatus

_STATUS = """status order-7
status order-7 --output json
status order-7 --message --url http://daemon.example.com:7676"""
_ATTEMPTS = """attempts order-7
attempts order-7 --run 3 --output json"""
_LIST = """tasks list --state failed,expired --since 1h
tasks list --queue mail --limit 500 --output json"""

TaskId = Annotated[str, typer.Argument(metavar="ID", help="Of the task.")]
Run = Annotated[int | None, typer.Option(metavar="N", help="Which run; else the latest.")]
_STATES = (
    *("scheduled", "ready", "running", "held"),
    *("succeeded", "failed", "expired", "cancelled"),
)


def _states(incomplete: str) -> list[str]:
    return [state for state in _STATES if state.startswith(incomplete)]


@asks
def status(
    call: Call,
    task_id: TaskId,
    *,
    run: Run = None,
    message: Annotated[
        bool, typer.Option("--message", help="Also the message as it was published.")
    ] = False,
    utc: UtcOption = False,
) -> None:
    """Show how a task is."""
    with daemon(call) as client:
        found = client.status(task_id, run=run, message=message)
    if call.as_json:
        show_json(found)
        return
    _show(found, utc=utc)
    if message:
        typer.echo(json.dumps(found.message, indent=2, ensure_ascii=False))


def _show(task: TaskStatus, *, utc: bool) -> None:
    undo = task.roll_back
    times = ("created_at", "due_at", "started_at", "ended_at", "changed_at", "eta", "expires")
    show_pairs(
        [
            ("id", task.id),
            ("state", task.state),
            ("reason", task.reason),
            ("retrying", task.retrying),
            ("attempt", task.attempt or None),
            ("last_status", task.last_status),
            ("last_error", task.last_error),
            ("queue", task.queue),
            ("request", f"{task.method} {task.url}".strip()),
            *((name, _time(getattr(task, name), utc=utc)) for name in times),
            ("max_retries", task.max_retries),
            ("roll_back", f"{undo.url} {undo.state or ''}".strip() if undo else None),
            ("origin", task.origin),
            ("run", task.run),
            ("metadata", None if task.metadata is None else json.dumps(task.metadata)),
        ]
    )


def _time(at: datetime | None, *, utc: bool) -> str:
    return moment(at, utc=utc)


@asks
def attempts(call: Call, task_id: TaskId, *, run: Run = None, utc: UtcOption = False) -> None:
    """List the attempts of a task that have ended."""
    with daemon(call) as client:
        found = client.attempts(task_id, run=run)
    if call.as_json:
        show_json(found)
        return
    show_table(
        ("attempt", "started", "seconds", "outcome", "status", "error", "detail"),
        [_attempt(each, utc=utc) for each in found],
    )


def _attempt(one: AttemptInfo, *, utc: bool) -> tuple[object, ...]:
    started = moment(one.started_at, utc=utc)
    seconds = f"{one.seconds:.3f}"
    return one.attempt, started, seconds, one.outcome, one.status, one.error, one.detail


@asks
def list_tasks(
    call: Call,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="With commas, or repeated.", autocompletion=_states),
    ] = None,
    queue: Annotated[
        str, typer.Option("--queue", "-q", metavar="NAME", autocompletion=queue_names)
    ] = "",
    since_: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Created since: 1h (ago), or RFC 3339."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Created before.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="List so many; 0 for all.")] = 50,
    utc: UtcOption = False,
) -> None:
    """List tasks, youngest first."""
    states = [word for each in state or () for word in each.split(",") if word]
    with daemon(call) as client:
        every = client.tasks(
            state=states, queue=queue, since=since(since_), until=since(until), limit=limit or None
        )
        found = list(every)
    note_limit(len(found), limit or None)
    if call.as_json:
        show_json(found)
        return
    columns = ("id", "state", "queue", "attempt", "last", "created", "due", "url")
    show_table(columns, [_row(each, utc=utc) for each in found])


def _row(task: TaskStatus, *, utc: bool) -> tuple[object, ...]:
    last = task.last_error or task.last_status
    times = (moment(task.created_at, utc=utc), moment(task.due_at, utc=utc))
    return (task.id, task.state, task.queue, task.attempt, last, *times, task.url)


status_app = single(status, "status", _STATUS)
attempts_app = single(attempts, "attempts", _ATTEMPTS)
tasks_app = group("tasks", "List tasks.", _LIST)
add(tasks_app, list_tasks, "list", _LIST)
