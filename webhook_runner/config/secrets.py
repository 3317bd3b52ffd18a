"""Secrets that the file only points at: header values from files or variables, and *_file keys."""

import re
import stat
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import quote

from webhook_runner.config.place import Finding, Path
from webhook_runner.config.source import system_words
from webhook_runner.errors import ConfigError
from webhook_runner.settings import POSTGRESQL, Settings

_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_LARGEST_SECRET = 65536
_PRIVATE = (("broker", "password_file"), ("broker", "key_file"), ("store", "password_file"))
_FILES = (
    *_PRIVATE,
    ("broker", "ca_file"),
    ("broker", "cert_file"),
    ("egress", "ca_file"),
)

_TOKENS = ("api", "tokens")
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
HIDDEN = "(a name that is not shown, for it may be the secret itself)"


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """A secret that is not where the configuration says."""


@dataclass(slots=True)
class Resolver:
    """Puts secrets in place of what points at them, in the merged table, before validation."""

    environ: Mapping[str, str]
    findings: list[Finding] = field(default_factory=list)
    sources: dict[Path, str] = field(default_factory=dict)

    def resolve(self, table: MutableMapping[str, Any]) -> None:
        """Change ``table``: expand $CREDENTIALS_DIRECTORY, read the headers' references."""
        for section, key in _FILES:
            inner = table.get(section)
            if isinstance(inner, dict) and isinstance(inner.get(key), str):
                inner[key] = self._expanded((section, key), inner[key])
        api = table.get("api")
        tokens = api.get("tokens") if isinstance(api, dict) else None
        for token in tokens if isinstance(tokens, list) else ():
            if isinstance(token, dict) and isinstance(token.get("file"), str):
                token["file"] = self._expanded(_TOKENS, token["file"])
        queues = table.get("queues")
        for name, queue in (queues if isinstance(queues, dict) else {}).items():
            headers = queue.get("headers") if isinstance(queue, dict) else None
            if isinstance(headers, dict):
                self._headers(("queues", name, "headers"), headers)

    def _headers(self, path: Path, headers: dict[str, Any]) -> None:
        for header, value in list(headers.items()):
            if not isinstance(value, dict) or not _is_reference(value):
                continue
            place = (*path, header)
            try:
                headers[header] = self._read(place, value)
            except _Unreadable as error:
                self.findings.append(Finding(place, str(error)))
                del headers[header]

    def _read(self, place: Path, reference: Mapping[str, str]) -> str:
        if "env" in reference:
            name = reference["env"]
            shown = name if _VARIABLE.fullmatch(name) else HIDDEN
            self.sources[place] = f"variable {shown}"
            if name not in self.environ:
                raise _Unreadable(f"the environment variable {shown} is not set")
            return self.environ[name]
        file = FilePath(self._expanded(place, reference["file"]))
        self.sources[place] = f"file {_shown(file)}"
        return read_secret(file)

    def _expanded(self, place: Path, text: str) -> str:
        for word in (f"${_CREDENTIALS}", f"${{{_CREDENTIALS}}}"):
            if not text.startswith(word):
                continue
            if _CREDENTIALS not in self.environ:
                self.findings.append(
                    Finding(
                        place, f"${_CREDENTIALS} is not set; systemd sets it for LoadCredential="
                    )
                )
                return ""
            return self.environ[_CREDENTIALS] + text.removeprefix(word)
        return text


def _is_reference(value: Mapping[str, object]) -> bool:
    return (
        len(value) == 1
        and next(iter(value)) in {"file", "env"}
        and all(isinstance(inner, str) for inner in value.values())
    )


def read_secret(file: FilePath) -> str:
    """Return the text of a file of one secret, without the line break at its end."""
    try:
        with file.open("rb") as stream:
            text = stream.read(_LARGEST_SECRET).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _Unreadable(f"{_shown(file)} is not UTF-8 text") from error
    except (OSError, ValueError) as error:
        raise _Unreadable(f"{_shown(file)} cannot be read: {system_words(error)}") from error
    if not text:
        raise _Unreadable(f"{_shown(file)} is empty")
    return text


def _shown(file: FilePath) -> str:
    """Return the path, but not a bare name: it may be the secret, written where its file should."""
    return str(file) if "/" in str(file) else HIDDEN


def unreadable_files(settings: Settings) -> Iterator[Finding]:
    """Yield the *_file keys whose file cannot be read."""
    for path, file in _named_files(settings):
        try:
            read_secret(file)
        except _Unreadable as error:
            yield Finding(path, str(error))


def exposed_files(settings: Settings) -> Iterator[Finding]:
    """Yield the private files that every user of the machine may read."""
    for path, file in _named_files(settings):
        if path not in _PRIVATE and path != _TOKENS:
            continue
        try:
            mode = file.stat().st_mode
        except (OSError, ValueError):
            continue
        if mode & stat.S_IROTH:
            yield Finding(path, f"{file} can be read by everybody; chmod 0640 {file}")


def _named_files(settings: Settings) -> Iterator[tuple[Path, FilePath]]:
    for section, key in _FILES:
        name = getattr(getattr(settings, section), key)
        if name and _is_used(section, settings):
            yield (section, key), FilePath(name)
    for token in settings.api.tokens if settings.api.listen else ():
        if token.file:
            yield _TOKENS, FilePath(token.file)


def _is_used(section: str, settings: Settings) -> bool:
    if section == "store":
        return settings.store_url.startswith(POSTGRESQL)
    return not (section == "broker" and settings.queue_file)


def password_in(url: str) -> str:
    """Return the password of a URL as it is written there, of one with several hosts too."""
    authority = url.partition("://")[2].partition("/")[0]
    return authority.rpartition("@")[0].partition(":")[2]


def store_address(settings: Settings) -> str:
    """Return ``store_url`` with the password of ``store.password_file`` in it.

    Raises:
        ConfigError: the file cannot be read now.

    """
    url, file = settings.store_url, settings.store.password_file
    if not file or not url.startswith(POSTGRESQL):
        return url
    try:
        password = read_secret(FilePath(file))
    except _Unreadable as error:
        raise ConfigError(f"[store] password_file: {error}") from error
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    account, _, host = authority.rpartition("@")
    user = account.partition(":")[0]
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}{slash}{path}"
