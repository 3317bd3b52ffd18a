"""Which URLs a task may name, and the one form in which they are called."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

from webhook_runner.errors import InvalidTaskError

MAX_URL_CHARS = 8192
MAX_NAME_CHARS = 253
MAX_PORT = 65535
# One task asks for its URL several times, and many tasks for the same one; at most about 16 MB.
REMEMBERED = 1024

NOWHERE = ("", 0)
"""What stands for the destination of an address that is none."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Controls, white space and invisible characters: two parsers would read such a URL differently.
_UNSEEN = re.compile(
    "[\x00-\x20\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_DESTINATION = re.compile(r"[!-~]{1,255}:[1-9][0-9]{0,4}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_OTHER_DOTS = re.compile("[\u3002\uff0e\uff61]")
# What most tasks name, known to be good at one look.
_PLAIN_PATH = re.compile(r"/(?!/)(?:(?!\.\.)[A-Za-z0-9\-._~/?&=%+]){0,8191}")
_UNSENDABLE = re.compile(r"[^A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]")


@dataclass(frozen=True, slots=True)
class _Origin:
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


@lru_cache(maxsize=REMEMBERED)
def absolute(url: str, base_url: str, field: str = "url") -> str:
    """Return the URL to call: ``url``, or ``base_url`` followed by it when it is a path.

    The host is lower case and in punycode, the fragment is dropped, percent escapes stay as they
    are, and characters that HTTP cannot carry are percent-encoded.

    Raises:
        InvalidTaskError: the URL, or the base it needs, is not one we call; says what would be.

    """
    checked = checked_url(url, field)
    if checked.startswith("/"):
        if not base_url:
            raise InvalidTaskError(
                "no_base_url",
                "is a path, but no base_url is set; write a whole URL, or set base_url in the "
                "configuration (for all queues, or under [queues.NAME])",
                field,
            )
        checked = _base(base_url) + checked
    if len(checked) > MAX_URL_CHARS:
        raise InvalidTaskError("url_too_long", f"needs more than {MAX_URL_CHARS} characters", field)
    return checked


def checked_url(url: str, field: str = "url") -> str:
    """Return ``url``, which is a path or absolute, in the form in which it is sent.

    Raises:
        InvalidTaskError: it is neither, or not allowed.

    """
    if _PLAIN_PATH.fullmatch(url):
        return url
    _check_characters(url, field)
    url = url.partition("#")[0]
    if url.startswith("/"):
        if url.startswith("//"):
            raise InvalidTaskError(
                "bad_url", 'starts with "//"; write "http://HOST/..." or "/PATH"', field
            )
        return _sendable(url, field)
    origin, rest = _split(url, field)
    if not rest.startswith("/"):
        rest = "/" + rest
    return f"{origin}{_sendable(rest, field)}"


@lru_cache(maxsize=256)
def _base(base_url: str) -> str:
    base = checked_url(base_url, "base_url")
    if base.startswith("/") or "?" in base:
        raise InvalidTaskError("bad_base_url", 'must be like "http://host:port/path"', "base_url")
    return base.removesuffix("/")


@lru_cache(maxsize=REMEMBERED)
def host_of(url: str) -> tuple[str, int]:
    """Return the host of an absolute URL (lower case, punycode, no brackets) and its port.

    Raises:
        InvalidTaskError: it is not an absolute URL that we call.

    """
    _check_characters(url, "url")
    origin, _ = _split(url.partition("#")[0], "url")
    return origin.host, origin.port


def destination_name(host: tuple[str, int]) -> str:
    """Return a host and its port as people write them: ``example.com:443``, ``[::1]:80``."""
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def destination_named(name: str) -> tuple[str, int]:
    """Return the host and the port that such a name stands for.

    Raises:
        InvalidTaskError: it stands for none.

    """
    if not _DESTINATION.fullmatch(name):
        text = 'write HOST:PORT, such as "example.com:443" or "[::1]:8080"'
        raise InvalidTaskError("bad_destination", text, "destination")
    origin = _origin("http", name, "destination")
    return origin.host, origin.port


def is_allowed(host: str, port: int, allowed: Iterable[str]) -> bool:
    """Whether a host is among ``api.example.com``, ``*.example.com``, ``localhost:8000``."""
    for each in allowed:
        name, _, wanted = each.lower().partition(":")
        fits = host.endswith(name[1:]) if name.startswith("*.") else host == name
        if fits and wanted in ("", str(port)):
            return True
    return False


def _check_characters(url: str, field: str) -> None:
    if not url.strip():
        raise InvalidTaskError("bad_url", 'is empty; write "http://HOST/..." or "/PATH"', field)
    if len(url) > MAX_URL_CHARS:
        raise InvalidTaskError("url_too_long", f"has more than {MAX_URL_CHARS} characters", field)
    if url.isascii() and url.isprintable() and " " not in url:
        return
    if match := _UNSEEN.search(url):
        raise InvalidTaskError(
            "bad_url",
            f"has the character U+{ord(match[0]):04X} at position {match.start()}; "
            "white space and control characters must be percent-encoded",
            field,
        )
    if _SURROGATE.search(url):
        raise InvalidTaskError("bad_url", "has half of a surrogate pair", field)


def _split(url: str, field: str) -> tuple[_Origin, str]:
    match = _SCHEME.match(url)
    if match is None:
        raise InvalidTaskError(
            "bad_url", 'has no scheme; write "http://HOST/..." or "/PATH"', field
        )
    scheme = match[1].lower()
    if scheme not in _DEFAULT_PORTS:
        raise InvalidTaskError("scheme", f"must be http or https, not {scheme[:20]!r}", field)
    if not url.startswith("//", match.end()):
        raise InvalidTaskError("bad_url", f'write "//" after "{scheme}:"', field)
    start = match.end() + 2
    end = min((i for i in (url.find("/", start), url.find("?", start)) if i >= 0), default=len(url))
    return _origin(scheme, url[start:end], field), url[end:]


@lru_cache(maxsize=1024)
def _origin(scheme: str, authority: str, field: str) -> _Origin:
    if "@" in authority:
        raise InvalidTaskError(
            "userinfo",
            "has a user name or password, which would end up in logs; use an Authorization header",
            field,
        )
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not match["host"]:
        raise InvalidTaskError("bad_host", "has no host", field)
    port = match["port"]
    if port is not None and (not _PORT.fullmatch(port) or int(port) > MAX_PORT):
        raise InvalidTaskError("bad_port", f"has a port that is not 1 to {MAX_PORT}", field)
    return _Origin(scheme, _host(match["host"], field), int(port or _DEFAULT_PORTS[scheme]))


def _host(host: str, field: str) -> str:
    if host.startswith("["):
        try:
            if "%" in host:
                raise InvalidTaskError("ip_form", "has an IPv6 zone; leave it out", field)
            return str(IPv6Address(host[1:-1]))
        except AddressValueError:
            raise InvalidTaskError("ip_form", f"has no IPv6 address in {host!r}", field) from None
    name = host.lower().removesuffix(".")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidTaskError("bad_host", f"has a host of over {MAX_NAME_CHARS} characters", field)
    labels = [_label(label, field) for label in name.split(".")]
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(".".join(labels), field)
    if len(name := ".".join(labels)) > MAX_NAME_CHARS:
        raise InvalidTaskError("bad_host", f"has a host of over {MAX_NAME_CHARS} characters", field)
    return name


def _ipv4(name: str, field: str) -> str:
    try:
        return str(IPv4Address(name))
    except AddressValueError:
        raise InvalidTaskError(
            "ip_form", f"{name!r} is not an address of the form 192.0.2.1", field
        ) from None


def _label(label: str, field: str) -> str:
    """Return one part of a host name in ASCII. Underscores are common in container networks."""
    plain = label
    if not label.isascii() or label.startswith("xn--"):
        try:
            if _OTHER_DOTS.search(label):
                raise InvalidTaskError("bad_host", "has a dot that is not the ASCII one", field)
            plain = idna.encode(label, std3_rules=True).decode()
        except (idna.IDNAError, UnicodeError) as error:
            raise InvalidTaskError(
                "bad_host", f"has the label {label!r:.70}: {error}"[:200], field
            ) from None
    if not _LABEL.fullmatch(plain):
        raise InvalidTaskError(
            "bad_host",
            f"has the label {label!r:.70}; a label is 1 to 63 letters, digits, hyphens or "
            "underscores, with no hyphen at either end",
            field,
        )
    return plain


def _sendable(rest: str, field: str) -> str:
    if ".." in rest and ".." in rest.partition("?")[0].split("/"):
        raise InvalidTaskError("bad_url", 'has a ".." in its path; write the path it means', field)
    return _UNSENDABLE.sub(_escape, rest)


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
