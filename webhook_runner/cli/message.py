"""Messages for `send`: made of options, or taken from a file as they are."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from webhook_runner.cli.report import CommandError, Exit

_NUMBER = re.compile(r"^\d+(\.\d+)?$")


def message(fields: Mapping[str, object]) -> bytes:
    """Return one JSON message of the fields that are not None; raw JSON goes in verbatim."""
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def raw_json(text: str, stdin: BinaryIO, what: str) -> msgspec.Raw:
    """Return the JSON of an option: as written, or from ``@FILE``, or from stdin for ``-``.

    Raises:
        CommandError: it is no JSON, or cannot be read.

    """
    raw = text.encode()
    if text == "-":
        raw = stdin.read()
    elif text.startswith("@"):
        raw = read(text[1:], stdin)
    try:
        return msgspec.json.decode(raw.strip(), type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _usage(
            f"{what} is no JSON: {error}", "text that is no JSON goes by --text"
        ) from error


def read(name: str, stdin: BinaryIO) -> bytes:
    """Return the bytes of a file, or of stdin for ``-``.

    Raises:
        CommandError: it cannot be read.

    """
    try:
        return stdin.read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise _usage(f"{name} cannot be read: {getattr(error, 'strerror', error)}") from error


def messages(raw: bytes) -> list[bytes]:
    """Return the messages of a file byte for byte: one object, an array of them, or one a line.

    Raises:
        CommandError: there is none, or the array is no JSON.

    """
    text = raw.strip()
    if text.startswith(b"["):
        try:
            return [bytes(each) for each in msgspec.json.decode(text, type=list[msgspec.Raw])]
        except (msgspec.DecodeError, RecursionError) as error:
            raise _usage(f"the array of messages is no JSON: {error}") from error
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        # Several lines, or one message with a mistake that the daemon's own rules will name.
        return [line.strip() for line in text.splitlines() if line.strip()] or _none()
    return [text]


def _none() -> list[bytes]:
    raise _usage("there is no message", "write one JSON object, an array, or one object a line")


def header_table(pairs: Sequence[str]) -> dict[str, str] | None:
    """Return the headers of ``K: V`` options, None when there are none.

    Raises:
        CommandError: one has no colon.

    """
    headers: dict[str, str] = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon:
            raise _usage(f"the header {pair!r} has no colon", "write --header 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers or None


def instant(text: str | None) -> object:
    """Return a time as a message has it: epoch seconds as a number, else the text."""
    if text is None or not _NUMBER.match(text):
        return text
    return float(text) if "." in text else int(text)


def _usage(text: str, hint: str = "") -> CommandError:
    return CommandError(text, hint, Exit.USAGE)
