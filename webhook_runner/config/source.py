"""A TOML file becomes a table of settings and the line of each; every way to fail has its words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tomli

from webhook_runner.config.forebear import old_syntax
from webhook_runner.config.positions import line_numbers
from webhook_runner.errors import ConfigError

_LARGEST_FILE = 4_194_304
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MANGLED = {
    "Cannot overwrite a value": "the key is written twice; keep one",
    "Cannot declare": "the table is written twice; put its keys under one heading",
    "Invalid value": 'no TOML value; text stands in quotes, as in key = "text"',
    "Expected '=' after a key": 'write key = value, with text in quotes; comments start with "#"',
    "Invalid statement": 'write key = value or [table]; comments start with "#"',
}


@dataclass(frozen=True, slots=True)
class Source:
    """What a file says. ``lines`` gives the line of every key, counted from 1."""

    table: Mapping[str, object] = field(default_factory=dict)
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)


def read(path: Path) -> Source:
    """Read and parse a configuration file.

    Raises:
        ConfigError: it cannot be read, is no UTF-8, is no TOML, or is in taskqueue's old syntax.

    """
    text = _text(path)
    try:
        table = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(*_explained(path, text, error)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}; no setting needs a value like this") from error
    return Source(table, line_numbers(text))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {system_words(error)}") from error
    if len(raw) > _LARGEST_FILE:
        raise ConfigError(f"{path}: larger than {_LARGEST_FILE} bytes; is it the right file?")
    if raw.startswith(_BYTE_ORDER_MARK):
        raise ConfigError(f"{path}:1: starts with a byte-order mark; save it as UTF-8 without one")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from error


def system_words(error: Exception) -> str:
    if isinstance(error, IsADirectoryError):
        return "it is a directory; name the file in it"
    if isinstance(error, PermissionError):
        return "permission denied; the user that runs the daemon must be able to read it"
    return getattr(error, "strerror", None) or str(error)


def _explained(path: Path, text: str, error: tomli.TOMLDecodeError) -> tuple[str, ...]:
    old = old_syntax(path, text, error.lineno)
    if old:
        return old
    where = f"{path}:{error.lineno}: column {error.colno}"
    if error.pos >= len(text.rstrip()) and not error.msg.startswith("Cannot"):
        return (f"{where}: {error.msg}; the file ends in the middle: is it still being written?",)
    hint = next((right for wrong, right in _MANGLED.items() if error.msg.startswith(wrong)), "")
    return (f"{where}: {error.msg}{': ' + hint if hint else ''}",)
