"""The one table: on a terminal, and in bench/README.md."""

from collections.abc import Sequence
from dataclasses import astuple

from rich.table import Table

from bench.race.finding import NOT_AVAILABLE, Row

BEGIN, END = "<!-- race: written by make bench WRITE=1 -->", "<!-- race: end -->"
HEADS = (
    "scenario",
    "who",
    "figure",
    "spread",
    "CPU s / 1000",
    "RSS (PSS) MB",
    "ours is",
    "asked",
    "",
)
_COLOURS = {"holds": "green", "must": "yellow", "SHORT": "red"}


def terminal_table(rows: Sequence[Row]) -> Table:
    """Return the table for a terminal."""
    table = Table(box=None, pad_edge=False)
    for head in HEADS:
        table.add_column(head, overflow="fold")
    for row in rows:
        loud = "bold red" if NOT_AVAILABLE in row.figure else _COLOURS.get(row.verdict, "")
        table.add_row(*astuple(row), style=loud if loud != "green" else "")
    return table


def markdown(rows: Sequence[Row]) -> str:
    """Return the table for a page."""
    lines = [f"| {' | '.join(HEADS)} |", "|" + "---|" * len(HEADS)]
    lines += [f"| {' | '.join(_cell(each) for each in astuple(row))} |" for row in rows]
    return "\n".join(lines)


def write_into(page: str, rows: Sequence[Row], about: str) -> str:
    """Return the page with the table in its place, a line about the run above it.

    Raises:
        ValueError: the page has no place for a table.

    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{about}\n\n{markdown(rows)}\n{END}{after}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
