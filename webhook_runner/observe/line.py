"""What a line of the log is made of."""

from datetime import UTC, datetime
from typing import NamedTuple

Fields = dict[str, object]


class Line(NamedTuple):
    level: int
    name: str
    fields: Fields


def iso(at: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC with milliseconds: ``2026-01-31T08:00:00.000Z``."""
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return str(at)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
