"""A URL: every parser reads of it what we read of it, or we refuse it."""

import socket
from contextlib import suppress
from ipaddress import ip_address

import ada_url
import httpx2

from webhook_runner.dispatch.target import target_of
from webhook_runner.errors import InvalidTaskError, RefusedError
from webhook_runner.task.url import MAX_URL_CHARS, absolute, checked_url, host_of

PORTS = {"http": 80, "https": 443}
Place = tuple[str, str, int]
"""Scheme, host and port."""


def check(data: bytes) -> None:
    url = text_of(data)
    alone(url)
    with suppress(InvalidTaskError):
        answer = absolute(url, "http://base.test/api")
        if url.startswith("/"):
            assert whatwg(answer) == rfc(answer) == ("http", "base.test", 80)
    try:
        answer = absolute(url, "")
    except InvalidTaskError:
        with suppress(InvalidTaskError):
            host_of(url)
        return
    sent_as(url, answer)


def text_of(data: bytes) -> str:
    """Read any bytes as text, halves of surrogate pairs included."""
    try:
        return data.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def sent_as(url: str, answer: str) -> None:
    """Compare what ours lead to, as it came and as it goes out, with what two others read."""
    assert answer.isascii()
    assert len(answer) <= MAX_URL_CHARS
    assert absolute(answer, "") == answer == checked_url(answer)
    host, port = host_of(url)
    ours = (answer.partition(":")[0], host, port)
    assert host_of(answer) == (host, port)
    assert whatwg(answer) == rfc(answer) == alone(answer) == ours
    for parser in (whatwg, rfc):
        seen = parser(url)
        assert seen in {None, ours}, f"{parser.__name__} reads {seen}, we read {ours}"
    assert not is_address(host) or host == socket.inet_ntoa(socket.inet_aton(host))


def whatwg(url: str) -> Place | None:
    """Return what browsers would call."""
    try:
        parsed = ada_url.URL(url)
    except (ValueError, UnicodeError):
        return None
    scheme = parsed.protocol.removesuffix(":")
    if scheme not in PORTS:
        return None
    return scheme, plain(parsed.hostname), int(parsed.port or PORTS[scheme])


def rfc(url: str) -> Place | None:
    """Return what httpx2 would call."""
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode()
    except (httpx2.InvalidURL, ValueError, TypeError):
        return None
    if parsed.scheme not in PORTS or not host:
        return None
    return parsed.scheme, plain(host), parsed.port or PORTS[parsed.scheme]


def alone(url: str) -> Place | None:
    """Return what the dispatcher would call, whoever let the URL in."""
    try:
        origin = target_of(url).origin
    except RefusedError:
        return None
    place = origin.scheme, plain(origin.host), origin.port
    for parser in (whatwg, rfc):
        seen = parser(url)
        assert seen in {None, place}, f"{parser.__name__} reads {seen}, we call {place}"
    return place


def plain(host: str) -> str:
    host = host.strip("[]").removesuffix(".")
    return str(ip_address(host)) if ":" in host else host


def is_address(host: str) -> bool:
    """Whether the resolver takes it for an IPv4 address, in whichever spelling."""
    try:
        return bool(socket.inet_aton(host))
    except (OSError, ValueError):
        return False
