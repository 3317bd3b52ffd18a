"""The table of figures in bench/README.md: a column for a run of minutes, one for the long run."""

from collections.abc import Mapping, Sequence

from bench.figure import Line, Scale

BEGIN, END = "<!-- figures: written by python -m bench.figures --write -->", "<!-- end -->"
HEAD = "| | figure | limit | CI | LONG |\n|---|---|---|---|---|"

Row = tuple[str, str, str, str, str]


def write_table(page: str, found: Mapping[str, Sequence[Line]], scale: Scale) -> str:
    """Return the page with what was found in the column of the scale; the rest stays.

    Raises:
        ValueError: the page has no place for a table.

    """
    before, begin, rest = page.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    rows = merged(read_rows(old), found, scale)
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{before}{BEGIN}\n{HEAD}\n{lines}\n{END}{after}"


def read_rows(table: str) -> list[Row]:
    """Return the rows of a table."""
    found: list[Row] = []
    for line in table.splitlines():
        match [cell.strip() for cell in line.strip("|").split("|")]:
            case [name, what, limit, ci, long] if name and not name.startswith("-"):
                found.append((name, what, limit, ci, long))
    return found


def merged(old: Sequence[Row], found: Mapping[str, Sequence[Line]], scale: Scale) -> list[Row]:
    """Return the old rows with those of the figures that were measured in their place.

    What only a run of the other scale has found stays too: some numbers are in their names.
    """
    other = 3 if scale.long else 4
    kept = {(row[0], row[1]): row[other] for row in old}
    fresh_ones = {(name, _cell(line.what)) for name, lines in found.items() for line in lines}
    rows = [row for row in old if row[0] not in found]
    for name, lines in found.items():
        for line in lines:
            fresh = f"{_cell(line.value)} {line.verdict}"
            aside = kept.get((name, _cell(line.what)), "")
            columns = (aside, fresh) if scale.long else (fresh, aside)
            rows.append((name, _cell(line.what), _cell(line.limit), *columns))
    rows += [
        (*row[:3], row[3], "") if scale.long else (*row[:3], "", row[4])
        for row in old
        if row[0] in found and row[other] and row[:2] not in fresh_ones
    ]
    return sorted(rows, key=lambda row: int(row[0][1:]))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
