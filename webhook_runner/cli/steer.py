"""`cancel`, `run`, `replay`: what becomes of tasks."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from webhook_runner.cli.call import Call, asks, single
from webhook_runner.cli.confirm import progress
from webhook_runner.cli.daemon import daemon
from webhook_runner.cli.report import CommandError, Exit
from webhook_runner.cli.shown import show_json, show_table
from webhook_runner.client import Cancelled, CancelResult, Client

_CANCEL = """cancel order-7
cancel order-7 order-8 order-9
cancel --force order-7
cancel - < ids.txt"""
_RUN = """run order-7"""
_REPLAY = """replay order-7
replay order-7 --output json"""
_AT_ONCE = 100

TaskId = Annotated[str, typer.Argument(metavar="ID", help="Of the task.")]


@asks
def cancel(
    call: Call,
    task_ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Of the tasks; - reads them from stdin.")
    ],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also a task that the store does not know.")
    ] = False,
) -> None:
    """Cancel tasks that have not ended; what runs is cut off as cancel_running says.

    Exit 4 when one has ended.
    """
    ids = list(_ids(task_ids))
    if len(ids) == 1 and task_ids != ["-"]:
        _cancel_one(call, ids[0], force=force)
        return
    if force:
        raise CommandError("--force takes one id", code=Exit.USAGE)
    with daemon(call) as client:
        results = _cancel_all(client, ids)
    _tell(call, results)


def _ids(given: Sequence[str]) -> Iterator[str]:
    for each in given:
        if each == "-":
            yield from sys.stdin.read().split()
        else:
            yield each


def _cancel_one(call: Call, task_id: str, *, force: bool) -> None:
    with daemon(call) as client:
        found = client.cancel(task_id, force=force)
    if call.as_json:
        show_json(found)
    else:
        typer.echo(found.state.replace("_", " "))


def _cancel_all(client: Client, ids: Sequence[str]) -> list[CancelResult]:
    results: list[CancelResult] = []
    with progress("cancelling", len(ids)) as done:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            results += client.cancel_many(some)
            done(len(some))
    return results


def _tell(call: Call, results: Sequence[CancelResult]) -> None:
    """Print what came of each, and how many of each; end with the code that fits all failures."""
    if call.as_json:
        show_json(results)
    else:
        counts = Counter(_word(each) for each in results)
        show_table(("result", "tasks"), sorted(counts.items()))
    failed = [each for each in results if not isinstance(each, Cancelled)]
    for each in failed:
        typer.echo(f"error: {each.id}: {each.problem.detail}", err=True)
    if failed:
        codes = {_CODES.get(each.problem.status, Exit.ERROR) for each in failed}
        raise typer.Exit(codes.pop() if len(codes) == 1 else Exit.ERROR)


_CODES = {404: Exit.NOT_FOUND, 409: Exit.CONFLICT}
_WORDS = {404: "not found", 409: "ended already"}


def _word(result: CancelResult) -> str:
    if isinstance(result, Cancelled):
        return result.state.replace("_", " ")
    return _WORDS.get(result.problem.status, "failed")


@asks
def run(call: Call, task_id: TaskId) -> None:
    """Let a scheduled task run now."""
    with daemon(call) as client:
        found = client.run(task_id)
    if call.as_json:
        show_json(found)
    else:
        typer.echo(f"{found.id} is {found.state}")


@asks
def replay(call: Call, task_id: TaskId) -> None:
    """Let a task that has ended run anew, under the same id."""
    with daemon(call) as client:
        found = client.replay(task_id)
    if call.as_json:
        show_json(found)
    else:
        typer.echo(f"{found.id} runs anew in queue {found.queue} (run {found.run})")


cancel_app = single(cancel, "cancel", _CANCEL)
run_app = single(run, "run", _RUN)
replay_app = single(replay, "replay", _REPLAY)
