"""Points in time as senders write them: epoch seconds or RFC 3339; both ways."""

import re
from datetime import UTC, datetime

from webhook_runner.errors import InvalidTaskError

SMALLEST_EPOCH = 1e9  # 2001; a smaller number is a duration by mistake
SMALLEST_MILLISECONDS = 1e11  # the year 5138 in seconds, 1973 in milliseconds

_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_WITHOUT_ZONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]+)?")
_RIGHT = 'write "2026-01-31T08:30:00Z" or epoch seconds such as 1769848200'
_NANOSECONDS_PER_MILLISECOND = 1_000_000


def parse_instant(value: float | str, field: str, *, round_up: bool) -> float:
    """Return epoch seconds for a number >= 10^9 or an RFC 3339 time with its zone.

    A fraction finer than a millisecond is rounded up for a time that must not come early, and
    down for one that must not be passed.

    Raises:
        InvalidTaskError: ``bad_time``, with what would be right.

    """
    if isinstance(value, str):
        return _parse_text(value, field, round_up=round_up)
    if value >= SMALLEST_MILLISECONDS:
        raise _bad(f"{value:.15g} looks like milliseconds; {_RIGHT}", field)
    if value < SMALLEST_EPOCH:
        hint = "; for a delay in seconds use countdown" if field == "eta" else ""
        raise _bad(f"{value:.15g} looks like a duration, not a time; {_RIGHT}{hint}", field)
    return float(value)


def rfc_3339(at: float) -> str:
    """Return ``at`` (epoch seconds) as RFC 3339 in UTC with milliseconds."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _parse_text(text: str, field: str, *, round_up: bool) -> float:
    match = _RFC_3339.fullmatch(text)
    if match is None:
        zone = " has no time zone;" if _WITHOUT_ZONE.fullmatch(text) else " is no RFC 3339 time;"
        raise _bad(f"{text[:40]!r}{zone} {_RIGHT}", field)
    try:
        day = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError as error:
        raise _bad(f"{text!r} does not exist ({error}); {_RIGHT}", field) from None
    nanoseconds = int((match[7] or "").ljust(9, "0"))
    milliseconds = nanoseconds // _NANOSECONDS_PER_MILLISECOND
    if round_up and nanoseconds % _NANOSECONDS_PER_MILLISECOND:
        milliseconds += 1
    seconds = int(day.timestamp()) - _offset(match, field)
    if seconds < 0:
        raise _bad(f"{text!r} is before 1970; {_RIGHT}", field)
    return (seconds * 1000 + milliseconds) / 1000


def _offset(match: re.Match[str], field: str) -> int:
    if match[8] is None:
        return 0
    hours, minutes = int(match[9]), int(match[10])
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - the clock's own limits
        raise _bad(f"the zone of {match[0]!r} does not exist; {_RIGHT}", field)
    seconds = hours * 3600 + minutes * 60
    return -seconds if match[8] == "-" else seconds


def _bad(explanation: str, field: str) -> InvalidTaskError:
    return InvalidTaskError("bad_time", explanation, field)
