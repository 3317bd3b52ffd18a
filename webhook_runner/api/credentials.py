"""Who asks: tokens of the configuration, known by their hashes, and what each may do."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from webhook_runner.errors import ConfigError
from webhook_runner.settings import ApiSettings, TokenSettings

_PREFIX = "sha256:"
_LONGEST = 4096


class Role(StrEnum):
    """What a token may do: look at how tasks fare, or everything."""

    READ = "read"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the name of a token, "" where none is asked for."""

    name: str
    role: Role

    @property
    def sees_all(self) -> bool:
        """Whether it may see what tasks carry: messages, metadata, answers, whole URLs."""
        return self.role is Role.FULL


ANYBODY = Caller("", Role.FULL)
"""Who asks an API without tokens, which only listens on loopback."""


def fresh_token() -> str:
    """Return a token nobody has guessed: 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """Return what stands for ``token`` in the configuration: ``sha256:`` and 64 hex digits."""
    return _PREFIX + sha256(token.encode()).hexdigest()


def token_line(name: str, role: Role, token: str) -> str:
    """Return the item of ``[api] tokens`` that lets ``token`` in."""
    return f'{{name = "{name}", role = "{role}", hash = "{hash_of(token)}"}}'


def token_in(settings: TokenSettings) -> str:
    """Return the token of a file, "" for one that only its hash tells. Raises ConfigError."""
    if not settings.file:
        return ""
    try:
        return Path(settings.file).read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"[api] tokens: {settings.file} cannot be read: {error}") from error


class Credentials:
    """The tokens in force; a reload replaces them."""

    def __init__(self, settings: ApiSettings) -> None:
        self._known: tuple[tuple[bytes, Caller], ...] = ()
        self.adopt(settings)

    def adopt(self, settings: ApiSettings) -> None:
        """Take over the tokens of a configuration. Raises ConfigError for an unreadable file."""
        self._known = tuple(_known(settings.tokens))

    @property
    def are_asked_for(self) -> bool:
        """Whether there are tokens at all."""
        return bool(self._known)

    def caller(self, authorization: str) -> Caller | None:
        """Return who sent this ``Authorization``, or None; takes as long for any wrong token."""
        name, token = _presented(authorization)
        asked = sha256(token.encode("utf-8", "surrogateescape")).hexdigest().encode()
        found: Caller | None = None
        for known, caller in self._known:
            # All of them are compared, so that the time tells nothing of which one it was.
            if hmac.compare_digest(known, asked) & (not name or name == caller.name):
                found = caller
        return found if token else None


def _known(tokens: Iterable[TokenSettings]) -> Iterable[tuple[bytes, Caller]]:
    for token in tokens:
        told = token.hash or hash_of(token_in(token))
        yield told.removeprefix(_PREFIX).encode(), Caller(token.name, Role(token.role))


def _presented(authorization: str) -> tuple[str, str]:
    """Return name and token; no name for a bearer, no token for what cannot be read."""
    scheme, _, rest = authorization[:_LONGEST].partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return "", rest
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, colon, token = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return (name, token) if name and colon else ("", "")
