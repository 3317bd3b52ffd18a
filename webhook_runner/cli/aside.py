"""`dead`, `invalid`: what was put aside for a person; looked at, exported, dropped, replayed."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import typer

from webhook_runner.cli.call import Call, add, asks, group, takes
from webhook_runner.cli.complete import queue_names
from webhook_runner.cli.confirm import confirm, progress
from webhook_runner.cli.daemon import daemon
from webhook_runner.cli.letters import Wanted
from webhook_runner.cli.message import raw_json
from webhook_runner.cli.option import UtcOption, YesOption
from webhook_runner.cli.report import CommandError, Exit
from webhook_runner.cli.shown import (
    moment,
    note_limit,
    show_json,
    show_line,
    show_pairs,
    show_table,
)
from webhook_runner.client import Client, LetterInfo, Letters, ReplayTotal
from webhook_runner.client.letters import Replayed

_LIST = """{} list mail
{} list mail --since 1d --group
{} list mail --reason status --status 500 --output json"""
_SHOW = """{} show mail LETTER
{} show mail LETTER --output json"""
_EXPORT = """{} export mail > mail.ndjson
{} export mail --since 1d"""
_DROP = """{} drop mail --letter LETTER
{} drop mail --until 2026-01-31T00:00:00Z --yes
{} drop mail --all"""
_REPLAY = """{} replay mail --reason timeout --rate 10/s
{} replay mail --all --dry-run
{} replay mail --id order-7 --edit '{"url": "/new"}' --yes"""

Queue = Annotated[
    str, typer.Argument(metavar="QUEUE", help="Of the tasks.", autocompletion=queue_names)
]
All = Annotated[bool, typer.Option("--all", help="Needed where no filter is given.")]


def _letters(ctx: typer.Context, client: Client, queue: str, wanted: Wanted) -> Letters:
    """Return the letters of the command that was called: `dead` or `invalid`."""
    chosen = client.invalid if _is_invalid(ctx) else client.dead
    return chosen(queue, **wanted.wishes())


def _is_invalid(ctx: typer.Context) -> bool:
    return ctx.parent is not None and ctx.parent.command.name == "invalid"


def _check(wanted: Wanted, *, everything: bool) -> None:
    if wanted.is_anything and not everything:
        hint = "--all means every one of the queue"
        raise CommandError("name a filter, or --all", hint, Exit.USAGE)


@asks
@takes(Wanted)
def list_letters(
    ctx: typer.Context,
    call: Call,
    wanted: Wanted,
    queue: Queue,
    *,
    by_reason: Annotated[
        bool, typer.Option("--group", help="Count them by reason instead.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="List so many; 0 for all.")] = 100,
    utc: UtcOption = False,
) -> None:
    """List what was put aside, oldest first."""
    with daemon(call) as client:
        most = None if by_reason else limit or None
        found = list(_letters(ctx, client, queue, wanted).list(most))
    note_limit(len(found), most)
    if by_reason:
        _show_groups(call, found, utc=utc)
    elif call.as_json:
        show_json(found)
    else:
        columns = ("letter", "at", "id", "reason", "last", "attempts", "what")
        show_table(columns, [_row(each, utc=utc) for each in found])


def _row(letter: LetterInfo, *, utc: bool) -> tuple[object, ...]:
    at = moment(letter.at, utc=utc)
    what = f"{letter.field}: {letter.explanation}" if letter.field else letter.url
    last = letter.last_error or letter.last_status
    what = what or letter.explanation
    return (letter.letter, at, letter.id, letter.reason, last, letter.attempts, what)


def _show_groups(call: Call, letters: Iterable[LetterInfo], *, utc: bool) -> None:
    """Print how many there are of each reason and last status, most frequent first."""
    letters = list(letters)
    counts = Counter((each.reason, _last(each)) for each in letters)
    groups = []
    for (reason, last), count in counts.most_common():
        times = [each.at for each in letters if (each.reason, _last(each)) == (reason, last)]
        known = sorted(at for at in times if at is not None)
        first, latest = (known[0], known[-1]) if known else (None, None)
        groups.append((reason, last, count, first, latest))
    names = ("reason", "last", "count", "first", "latest")
    if call.as_json:
        show_json([dict(zip(names, each, strict=True)) for each in groups])
        return
    rows = [(*each[:3], moment(each[3], utc=utc), moment(each[4], utc=utc)) for each in groups]
    show_table(names, rows)


def _last(letter: LetterInfo) -> str:
    return letter.field or letter.last_error or str(letter.last_status or "")


@asks
def show(
    ctx: typer.Context,
    call: Call,
    queue: Queue,
    letter: Annotated[str, typer.Argument(metavar="LETTER", help="As listed.")],
    *,
    utc: UtcOption = False,
) -> None:
    """Show one with its message."""
    with daemon(call) as client:
        found = _letters(ctx, client, queue, Wanted()).show(letter)
    if call.as_json:
        show_json(found)
        return
    names = ("letter", "id", "run", "queue", "reason", "field", "explanation", "method", "url")
    pairs = [(name, getattr(found, name) or None) for name in names]
    more = ("attempts", "last_status", "last_error", "kind", "size")
    pairs += [("at", moment(found.at, utc=utc)), *((name, getattr(found, name)) for name in more)]
    show_pairs(pairs)
    for title, value in (("summary", found.summary), ("message", found.message)):
        if value is not None:
            text = (
                value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            )
            typer.echo(f"\n{title}:\n{text}")


@asks
@takes(Wanted)
def export(ctx: typer.Context, call: Call, wanted: Wanted, queue: Queue) -> None:
    """Print them with their messages, each as a line of JSON, whatever --output says."""
    with daemon(call) as client:
        for each in _letters(ctx, client, queue, wanted).export():
            typer.echo(each.source)


@asks
@takes(Wanted)
def drop(
    ctx: typer.Context,
    call: Call,
    wanted: Wanted,
    queue: Queue,
    *,
    everything: All = False,
    yes: YesOption = False,
) -> None:
    """Delete them for good."""
    _check(wanted, everything=everything)
    with daemon(call) as client:
        letters = _letters(ctx, client, queue, wanted)
        if not yes:
            confirm(f"delete {_count(letters)} of {queue} for good", yes=yes)
        gone = letters.drop(everything=everything)
    if call.as_json:
        show_json({"dropped": gone})
    else:
        typer.echo(f"dropped {gone}")


@asks
@takes(Wanted)
def replay(
    ctx: typer.Context,
    call: Call,
    wanted: Wanted,
    queue: Queue,
    *,
    everything: All = False,
    rate: Annotated[str, typer.Option(metavar="N/s", help="No faster than so.")] = "",
    edit: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Merge it into the messages first; @FILE or - reads it."),
    ] = None,
    to_queue: Annotated[str, typer.Option("--to", metavar="QUEUE", help="To another queue.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be.")] = False,
    yes: YesOption = False,
) -> None:
    """Make tasks of them again."""
    _check(wanted, everything=everything)
    patch = None if edit is None else bytes(raw_json(edit, sys.stdin.buffer, "--edit"))
    with daemon(call) as client:
        letters = _letters(ctx, client, queue, wanted)
        count = None
        if not (yes or dry_run):
            count = _count(letters)
            confirm(f"replay {count} of {queue}", yes=yes)
        steps = letters.replay(
            everything=everything, rate=rate, dry_run=dry_run, edit=patch, to_queue=to_queue
        )
        _follow(call, steps, count)


def _count(letters: Letters) -> int:
    return sum(1 for _ in letters)


def _follow(call: Call, steps: Iterable[Replayed], count: int | None) -> None:
    """Tell how a replay goes, and end with 1 when some could not be replayed."""
    total = ReplayTotal()
    with progress("replaying", count) as done:
        for step in steps:
            if call.as_json:
                show_line(step)
            if isinstance(step, ReplayTotal):
                total = step
                continue
            done(1)
            if step.error:
                typer.echo(f"error: {step.letter} {step.id}: {step.error}", err=True)
    if not call.as_json:
        would = "would be " if total.dry_run else ""
        failed = f", {total.failed} failed" if total.failed else ""
        typer.echo(f"{total.replayed} of {total.matched} {would}replayed{failed}")
    if total.failed:
        raise typer.Exit(Exit.ERROR)


def _app(word: str, summary: str) -> typer.Typer:
    app = group(word, summary, _LIST.replace("{}", word))
    add(app, list_letters, "list", _LIST.replace("{}", word))
    add(app, show, "show", _SHOW.replace("{}", word))
    add(app, export, "export", _EXPORT.replace("{}", word))
    add(app, drop, "drop", _DROP.replace("{}", word))
    add(app, replay, "replay", _REPLAY.replace("{}", word))
    return app


dead_app = _app("dead", "Look at dead letters, replay or drop them.")
invalid_app = _app("invalid", "Look at invalid messages, mend and replay or drop them.")
