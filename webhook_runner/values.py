"""Values that the configuration writes in a short form: rates, status codes, lists of delays."""

import re
from dataclasses import dataclass

_RATE = re.compile(r"^(\d+(?:\.\d+)?)\s*/\s*([smhd])$")
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CODE_RANGE = re.compile(r"^(\d{3})(?:-(\d{3}))?$")
_LARGEST_STATUS = 599


@dataclass(frozen=True, slots=True)
class Codes:
    """A set of HTTP statuses, as ranges that include both ends."""

    ranges: tuple[tuple[int, int], ...]

    def __contains__(self, status: int) -> bool:
        return any(low <= status <= high for low, high in self.ranges)

    def __str__(self) -> str:
        return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in self.ranges)


def parse_rate(value: object) -> float:
    """Return tasks per second for ``"unlimited"``, ``"5/s"``, ``"21.5/m"``, ``"3/h"``, ``"1/d"``.

    Raises:
        ValueError: anything else, with the right forms.

    """
    if isinstance(value, float):
        return value
    if value == "unlimited":
        return float("inf")
    match = _RATE.match(value) if isinstance(value, str) else None
    if match is None or float(match[1]) == 0:
        raise ValueError(
            'write "unlimited" or a rate above 0 such as "5/s", "21.5/m", "3/h", "1/d"'
        )
    return float(match[1]) / _UNIT_SECONDS[match[2]]


def rate_text(rate: float) -> str:
    """Return a rate as the file writes it, in the unit that gives the shortest number."""
    if rate == float("inf"):
        return "unlimited"
    exact = [
        text
        for unit, seconds in _UNIT_SECONDS.items()
        if "e" not in (text := f"{rate * seconds:.12g}/{unit}") and parse_rate(text) == rate
    ]
    return min(exact, key=len, default=f"{rate:.17f}/s")


def parse_codes(value: object) -> Codes:
    """Return the statuses meant by ``200``, ``"200-299"``, ``"200,202"`` or ``[200, "300-302"]``.

    Raises:
        ValueError: anything else, with the right forms.

    """
    if isinstance(value, Codes):
        return value
    words = value if isinstance(value, list | tuple) else str(value).split(",")
    ranges = tuple(_code_range(str(word).strip()) for word in words)
    if not ranges or isinstance(value, bool | float):
        raise ValueError('write 200, "200-299" or "200,202,204"')
    return Codes(ranges)


def _code_range(word: str) -> tuple[int, int]:
    match = _CODE_RANGE.match(word)
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 100 <= low <= high <= _LARGEST_STATUS:  # noqa: PLR2004 - the first HTTP status
        raise ValueError(f'{word!r} is no status or range: write 200, "200-299" or "200,202,204"')
    return low, high


def parse_seconds_list(value: object) -> tuple[float, ...]:
    """Return the delays in seconds meant by ``"5,300,1800"`` or ``[5, 300, 1800]``.

    Raises:
        ValueError: anything else, with the right form.

    """
    words = [w for w in value.split(",") if w.strip()] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or any(isinstance(w, bool) for w in words):
        raise ValueError('write a list of seconds such as [5, 300, 1800] or "5,300,1800"')
    try:
        delays = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        delays = (-1.0,)
    if any(not 0 < delay < float("inf") for delay in delays):
        raise ValueError("every delay must be a number of seconds above 0")
    return delays
