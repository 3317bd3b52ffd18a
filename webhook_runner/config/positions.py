"""On which line of a TOML text each key stands. The text must be one that tomli accepts."""

import re
from collections.abc import Iterator, Mapping

import tomli

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}]|\n",
    re.DOTALL,
)
_HEADING = re.compile(r"^\s*\[")


def line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """Return the line, from 1, of every key and table; items of arrays are not told apart."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for line, statement in _statements(text):
        try:
            parsed = tomli.loads(statement)
        except (ValueError, RecursionError):
            continue
        paths = list(_paths(parsed))
        if _HEADING.match(statement):
            table = max(paths, key=len, default=())
            paths = [()]
        for path in paths:
            found.setdefault((*table, *path), line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    depth = start = 0
    line = first = 1
    for token in _TOKEN.finditer(text):
        word = token[0]
        depth += (word in "[{") - (word in "]}")
        line += word.count("\n")
        if word == "\n" and depth == 0:
            if text[start : token.start()].strip():
                yield first, text[start : token.start()]
            start, first = token.end(), line
    if text[start:].strip():
        yield first, text[start:]


def _paths(table: object) -> Iterator[tuple[str, ...]]:
    while isinstance(table, list) and table:
        table = table[0]
    if isinstance(table, Mapping):
        for key, value in table.items():
            yield (key,)
            yield from ((key, *rest) for rest in _paths(value))
