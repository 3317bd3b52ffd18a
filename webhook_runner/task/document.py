"""From a message's bytes to the raw bytes of its fields, refusing what two readers could differ on.

Raw, because a payload must reach its endpoint exactly as it was written.
"""

import re

import msgspec

from webhook_runner.errors import InvalidTaskError

MAX_DEPTH = 64

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)
# Possessive and with an optional end: linear on any input, closed or not.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")
_NEXT_KEY = re.compile(rb'[ \t\n\r]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*:[ \t\n\r]*')
_NEXT_COMMA = re.compile(rb"[ \t\n\r]*,")
_END = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def read_document(body: bytes) -> dict[str, bytes]:
    """Return the fields of a message, each as the exact bytes of its value.

    Raises:
        InvalidTaskError: it is not one UTF-8 JSON object, is nested deeper than 64 (RFC 8259 §9
            lets a reader set that limit) or has a key twice.

    """
    if not body.strip():
        raise InvalidTaskError("empty", "the message is empty; send a JSON object")
    _check_encoding(body)
    _check_depth(body)
    return read_object(body)


def read_object(raw: bytes, field: str = "") -> dict[str, bytes]:
    """Return the members of a JSON object, each as the exact bytes of its value.

    Raises:
        InvalidTaskError: it is no well-formed object, or has a key twice.

    """
    try:
        members = {name: bytes(value) for name, value in _OBJECT.decode(raw).items()}
    except msgspec.ValidationError as error:
        text = f"must be a JSON object: {error}"
        raise InvalidTaskError("wrong_type" if field else "not_an_object", text, field) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(raw, error, field) from None
    _check_unique(raw, members, field)
    return members


def _check_encoding(body: bytes) -> None:
    if body.startswith(_BOMS) or b"\x00" in body[:4]:
        raise InvalidTaskError(
            "encoding", "the message must be UTF-8 without a byte order mark, not UTF-16 or UTF-32"
        )
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidTaskError("encoding", f"the message is not UTF-8: {error}") from None


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in _OPENING else -1
        if depth > MAX_DEPTH:
            raise InvalidTaskError("too_deep", f"is nested deeper than {MAX_DEPTH} levels")


def _check_unique(raw: bytes, members: dict[str, bytes], field: str) -> None:
    """Walk over ``raw``: the parser keeps the last of equal keys and says nothing of the others."""
    seen: set[str] = set()
    position = raw.index(b"{") + 1
    while match := _NEXT_KEY.match(raw, position):
        key = _STRING.decode(match[1])
        position = match.end()
        if key in seen or not raw.startswith(members[key], position):
            raise _duplicate(key, field)
        seen.add(key)
        position += len(members[key])
        if comma := _NEXT_COMMA.match(raw, position):
            position = comma.end()
        elif not _END.fullmatch(raw, position):
            raise _duplicate(key, field)


def _duplicate(key: str, field: str) -> InvalidTaskError:
    return InvalidTaskError("duplicate_key", f"the key {key[:60]!r} is there twice", field)


def _malformed(raw: bytes, error: Exception, field: str) -> InvalidTaskError:
    text = str(error)
    about_escapes = "surrogate" in text or "truncated" in text or "hex escape" in text
    if about_escapes and _SURROGATE_ESCAPE.search(raw):
        text = f"half of a surrogate pair, as \\ud83d without \\ude00, is no text ({text})"
        return InvalidTaskError("lone_surrogate", text, field)
    return InvalidTaskError("not_json", f"the message is no JSON object: {text}", field)
