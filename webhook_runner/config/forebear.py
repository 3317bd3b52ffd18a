"""The INI syntax that taskqueue had: read it line by line, know it when it is met."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webhook_runner.config.place import basic_string, quoted

QUEUE_KEYS = (
    "concurrency",
    "rate",
    "retry_limit",
    "min_backoff_seconds",
    "max_backoff_seconds",
    "max_doublings",
)
COMMAND = "webhook-runner config convert"

_SECTION = re.compile(r"^\[([^\[\]=]+)\]\s*(?:[;#].*)?$")
_PAIR = re.compile(r"^([A-Za-z_][\w.-]*)\s*[=:]\s*(.*?)(?:\s+([;#].*))?$")
_NUMBER = re.compile(r"^[+-]?\d+(\.\d+)?$")
_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")
_TOML_QUEUES = re.compile(r"^\s*\[\s*queues\s*\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Blank:
    """An empty line or a comment of its own; ``comment`` is without its mark."""

    number: int
    comment: str | None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Pair:
    """``key = value``; a value in quotes has lost them, ``was_quoted`` remembers."""

    number: int
    key: str
    value: str
    comment: str = ""
    was_quoted: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    number: int
    text: str


Line = Blank | Heading | Pair | Unreadable


def read_lines(text: str) -> Iterator[Line]:
    """Yield what every line of an old file says; nothing is left out."""
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        # TOML allows no control characters, not even in comments.
        clean = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in raw)
        yield _line(number, clean.strip())


def _line(number: int, text: str) -> Line:
    if not text:
        return Blank(number, None)
    if text[0] in ";#":
        return Blank(number, text[1:].strip(), text[0])
    if match := _SECTION.match(text):
        return Heading(number, match[1].strip())
    if match := _PAIR.match(text):
        value = match[2].strip()
        bare = value.strip("\"'") if value[:1] in {'"', "'"} else value
        return Pair(number, match[1], bare, (match[3] or "")[1:].strip(), value != bare)
    return Unreadable(number, text)


def old_syntax(path: Path, text: str, number: int) -> tuple[str, ...]:
    """Return the problem to tell when line ``number``, at which TOML gave up, is taskqueue's."""
    said = next((line for line in read_lines(text) if line.number == number), None)
    right = _in_toml(said) if said else ""
    if not right:
        return ()
    shown = _PASSWORD.sub(r"\1***@", text.split("\n")[number - 1].strip())
    right = _PASSWORD.sub(r"\1***@", right)
    advice = "" if _TOML_QUEUES.search(text) else f"; `{COMMAND} {path}` prints the whole file anew"
    return (f"{path}:{number}: taskqueue's old syntax: {shown} - in TOML: {right}{advice}",)


def _in_toml(line: Line) -> str:
    match line:
        case Blank(comment=str(comment), mark=";"):
            return f"# {comment}"
        case Pair(key=key, value=value, was_quoted=False) if key in {*QUEUE_KEYS, "server"}:
            text = value if _NUMBER.match(value) else basic_string(value)
            return f"{key} = {text}"
        case Heading(name=name) if " " in name:
            return f"[queues.{quoted(name)}]"
    return ""
