"""From a URL to where it leads: the origin to connect to and the target of the request line."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

import httpx2

from webhook_runner.dispatch.guard import canonical_host
from webhook_runner.dispatch.wellformed import check_url
from webhook_runner.errors import RefusedError

DEFAULT_PORTS = {"http": 80, "https": 443}
# What httpx2.URL would leave as it is, so that it need not be asked: no dot segments, nothing to
# encode, no fragment.
_PLAIN = re.compile(
    r"(https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9]\d{0,4})?)"
    r"((?:/(?!\.)[\w.~!$%&'()*+,;=:@-]*)*(?:\?[\w.~!$%&'()*+,;=:@/?-]*)?)",
    re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class Origin:
    """What a connection can be reused for.

    Attributes:
        name: scheme, host and port, unique.
        scheme: ``http`` or ``https``.
        raw_host: the host as it goes into URLs, without brackets.
        host: the host as it is judged and resolved.
        port: the port, never left out.
        authority: what the header Host says.
        server_name: what the certificate must be for.

    """

    name: str
    scheme: str
    raw_host: str
    host: str
    port: int
    authority: str
    server_name: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: ``path`` has the query, and is never empty."""

    origin: Origin
    path: str


def target_of(url: object) -> Target:
    """Take a URL apart; what is not plain is normalised (RFC 3986, IDNA 2008).

    Raises:
        RefusedError: rule ``url``.

    """
    plain = _PLAIN.fullmatch(url) if isinstance(url, str) else None
    if plain is None:
        parsed = _parsed(check_url(url))
        return Target(_origin_of(parsed), parsed.raw_path.decode("ascii"))
    base, path = plain.groups()
    return Target(_plain_origin(base), path if path.startswith("/") else f"/{path}")


@lru_cache(maxsize=4096)
def _plain_origin(base: str) -> Origin:
    return _origin_of(_parsed(check_url(base)))


def _parsed(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise RefusedError("url", f"the url is malformed: {error}") from None


def _origin_of(url: httpx2.URL) -> Origin:
    raw_host = url.raw_host.decode("ascii")
    host = canonical_host(raw_host)
    _check_host(host)
    port = url.port or DEFAULT_PORTS[url.scheme]
    authority = url.netloc.decode("ascii")
    return Origin(
        name=f"{url.scheme}://{authority}",
        scheme=url.scheme,
        raw_host=raw_host,
        host=host,
        port=port,
        authority=authority,
        server_name=raw_host.rstrip("."),
    )


def _check_host(host: str) -> None:
    """Refuse what a resolver or a proxy could read as another host than the guard does."""
    if ":" in host:
        return
    labels = host.split(".")
    if len(host) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise RefusedError("url", f"{host!r:.300} is no host name")
    if _NUMBER.fullmatch(labels[-1]) and not _is_address(host):
        raise RefusedError("url", f"{host!r} is not an address of the form 192.0.2.1")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
