"""A taskqueue.ini in taskqueue's own syntax becomes TOML that does what the old file did."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from webhook_runner.config.forebear import (
    QUEUE_KEYS,
    Blank,
    Heading,
    Line,
    Pair,
    Unreadable,
    read_lines,
)
from webhook_runner.config.place import basic_string, quoted
from webhook_runner.errors import ConfigError
from webhook_runner.settings import QUEUE_NAME

_HEAD = """\
# Converted from taskqueue's syntax. What its daemon did and this one does not do by default is
# written out in every queue: one request at a time, one a second, success by status 200 only,
# and long requests (taskqueue waited six hours; 1500 seconds is the most here).
"""
_RATE = re.compile(r"^(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+)?\s*/\s*([smhd])(.*)$", re.IGNORECASE)
_USERINFO = re.compile(r"//[^\s/]*@")
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# taskqueue waited whole milliseconds between tasks: above this nothing waited at all.
_FASTEST = 1000.0


@dataclass(slots=True)
class _Table:
    """The lines under one heading; the first table has none."""

    name: str | None
    number: int = 0
    lines: list[Line] = field(default_factory=list)

    def last_of(self, key: str) -> int:
        return max(
            (p.number for p in self.lines if isinstance(p, Pair) and p.key == key), default=0
        )


def convert(text: str) -> str:
    """Return an old file as TOML, comments kept; what taskqueue took as default is written out.

    Raises:
        ConfigError: a line, queue name or value means nothing, with the number of its line.

    """
    tables = _tables(text)
    problems: list[str] = []
    lines = [line for table in tables for line in _converted(table, problems)]
    names = [table.name for table in tables if table.name is not None]
    problems += (
        f"line {table.number}: the queue {table.name} has two sections; join them"
        for i, table in enumerate(tables)
        if table.name is not None and table.name in names[: i - 1]
    )
    if problems:
        raise ConfigError(*(_USERINFO.sub("//***@", problem) for problem in problems))
    return _HEAD + "\n" + "\n".join(lines).strip("\n") + "\n"


def _tables(text: str) -> list[_Table]:
    tables = [_Table(None)]
    for line in read_lines(text):
        if isinstance(line, Heading):
            above = _comments_above(tables[-1].lines)
            tables.append(_Table(line.name, line.number, above))
        else:
            tables[-1].lines.append(line)
    return tables


def _comments_above(lines: list[Line]) -> list[Line]:
    """Take away the comments that stand right above a heading: they are about what follows."""
    count = 0
    while (
        count < len(lines)
        and isinstance(line := lines[-1 - count], Blank)
        and line.comment is not None
    ):
        count += 1
    if count == 0 or (count == len(lines) and lines[0].number == 1):
        return []
    taken = lines[len(lines) - count :]
    del lines[len(lines) - count :]
    return taken


def _converted(table: _Table, problems: list[str]) -> Iterator[str]:
    above = [line for line in table.lines if line.number < table.number]
    inside = [line for line in table.lines if line.number > table.number]
    yield from (_comment(line) for line in above if isinstance(line, Blank))
    if table.name is not None:
        if not re.match(QUEUE_NAME, table.name) or table.name.endswith("\n"):
            problems.append(f"line {table.number}: {table.name!r} can be no queue name here")
        yield f"[queues.{quoted(table.name)}]"
    end = len(inside)
    while end and inside[end - 1] == Blank(inside[end - 1].number, None):
        end -= 1
    for line in inside[:end]:
        yield _one(table, line, problems)
    if table.name is not None:
        yield from _unsaid(table)
    yield from [""] * max(len(inside) - end, 1)


def _comment(line: Blank) -> str:
    return "" if line.comment is None else f"# {line.comment}".rstrip()


def _one(table: _Table, line: Line, problems: list[str]) -> str:
    match line:
        case Blank():
            return _comment(line)
        case Pair():
            try:
                return _pair(table, line)
            except ValueError as error:
                problems.append(f"line {line.number}: {line.key}: {error}")
        case Unreadable(number=number, text=shown):
            problems.append(f"line {number}: neither key = value nor [section]: {shown}")
        case Heading():
            pass
    return ""


def _pair(table: _Table, pair: Pair) -> str:
    known = QUEUE_KEYS if table.name is not None else ("server",)
    said = f"{pair.key} = {pair.value}"
    if pair.key not in known:
        return _with(f"# {said}", replace(pair, comment=f"not known here {pair.comment}".strip()))
    if table.last_of(pair.key) != pair.number:
        return f"# {said}  # overridden below"
    value, remark = _value(pair)
    words = "; ".join(word for word in (pair.comment, remark) if word)
    return _with(f"{pair.key} = {value}", replace(pair, comment=words))


def _with(line: str, pair: Pair) -> str:
    return f"{line}  # {pair.comment}" if pair.comment else line


def _value(pair: Pair) -> tuple[str, str]:
    """Return a value in TOML, and a remark where it means something else than it seems to."""
    if pair.key == "server":
        return basic_string(pair.value), ""
    if pair.key == "rate":
        return _rate(pair.value)
    number = _number(pair.value)
    if pair.key in {"min_backoff_seconds", "max_backoff_seconds"}:
        return f"{number:.15g}" if number >= 0 else "-1", ""
    if number != int(number):
        raise ValueError(f"{pair.value} is no whole number")
    if pair.key == "concurrency" and number < 1:
        raise ValueError(f"{pair.value} would run nothing")
    return str(max(int(number), -1)), ""


def _number(text: str) -> float:
    number = float(text)
    if not -1e15 < number < 1e15:  # noqa: PLR2004 - beyond what a float counts exactly
        raise ValueError(f"{text} is too large")
    return number


def _rate(text: str) -> tuple[str, str]:
    match = _RATE.match(text)
    if not match:
        raise ValueError(f"{text} is no rate such as 5/s")
    number, unit = float(match[1] + (match[2] or "")), match[3].lower()
    remark = f"was {text}" if match[4].strip() or match[2] else ""
    if number <= 0:
        raise ValueError(f"{text} would run nothing")
    if number / _UNIT_SECONDS[unit] > _FASTEST:
        return '"unlimited"', f"was {text}: taskqueue did not limit above {_FASTEST:g}/s"
    return f'"{_decimal(number)}/{unit}"', remark


def _decimal(number: float) -> str:
    return f"{number:.12f}".rstrip("0").rstrip(".")


def _unsaid(table: _Table) -> Sequence[str]:
    """Return taskqueue's defaults that differ from ours, for the keys a section leaves out."""
    missing = (
        ("concurrency", "concurrency = 1  # taskqueue's default"),
        ("rate", 'rate = "1/s"  # taskqueue\'s default'),
    )
    return [
        *(line for key, line in missing if not table.last_of(key)),
        'success_codes = "200"  # "200-299" is the usual choice',
        "timeout = 1500",
        "max_timeout = 1500",
    ]
