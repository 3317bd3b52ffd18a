"""What must not be read in a log: URL userinfo, query values, control characters, secrets."""

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

MASK = "***"
LONGEST_TEXT = 1000
SHORTEST_SECRET = 4
"""Fewer characters stand in nearly every line, in its times and numbers, and tell nothing."""

_USERINFO = re.compile(r"//[^\s/?#]*@")
_QUERY = re.compile(r"\?(\S+)")
_FRAGMENT = re.compile(r"(://[^\s?#]*)#\S+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def _masked_query(match: re.Match[str]) -> str:
    pairs = re.split("[&;]", match[1])
    names = (f"{pair.split('=', 1)[0]}={MASK}" if "=" in pair else MASK for pair in pairs)
    return "?" + "&".join(names)


def clean(text: str) -> str:
    """Return foreign text as one line of at most 1000 characters, its URLs without secrets."""
    if "/" in text or "?" in text:
        text = _USERINFO.sub(f"//{MASK}@", text)
        text = _QUERY.sub(_masked_query, text)
        text = _FRAGMENT.sub(rf"\1#{MASK}", text)
    if not text.isprintable():
        text = _CONTROL.sub(" ", text)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def clean_value(value: object) -> object:
    """Return a decoded JSON value with every text in it cleaned."""
    match value:
        case str():
            return clean(value)
        case Mapping():
            return {clean(str(key)): clean_value(item) for key, item in value.items()}
        case list() | tuple():
            return [clean_value(item) for item in value]
        case _:
            return value


def without(text: str, secrets: Mapping[str, str]) -> str:
    """Return the text with the values of a header mapping masked, wherever they stand in it."""
    for value in secrets.values():
        if value and value in text:
            text = text.replace(value, MASK)
    return text


class Redaction:
    """The secrets of the configuration, in every spelling a rendered line could show."""

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()

    def register_secret(self, secret: str) -> None:
        """Never let this text show, unless it is shorter than ``SHORTEST_SECRET``."""
        if len(secret) < SHORTEST_SECRET:
            return
        escaped = msgspec.json.encode(secret).decode()[1:-1]
        new = {secret, escaped, repr(secret)[1:-1], quote(secret, safe=""), quote(secret)}
        # Longest first: an escaped spelling must go before the part of it that is spelled plainly.
        self._spellings = tuple(sorted(new | set(self._spellings), key=len, reverse=True))

    def shows_in(self, line: str) -> bool:
        # A plain loop: a generator would cost more than the search.
        for spelling in self._spellings:  # noqa: SIM110
            if spelling in line:
                return True
        return False

    def scrub(self, value: object) -> object:
        """Return the value with every registered secret in its texts masked."""
        match value:
            case str():
                for spelling in self._spellings:
                    value = value.replace(spelling, MASK)
                return value
            case Mapping():
                return {key: self.scrub(item) for key, item in value.items()}
            case list() | tuple():
                return [self.scrub(item) for item in value]
            case _:
                return value
